"""`size`: what a deployment needs, computed from measured unit costs. Pure: nothing is measured."""
