"""What is still to do, and doing it through Ray Tune. The only room that imports Ray."""
