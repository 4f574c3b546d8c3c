"""What an operator sees of a deployment, and may do: the console, and the page for a first look."""
