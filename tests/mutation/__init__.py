"""`make mutate`: changes each pure module in one place after the other, and asks its tests."""
