"""`doctor`: what keeps clients from a deployment, found from outside, with remedies."""
