"""MLflow, a mirror of the records. The only room that imports MLflow."""
