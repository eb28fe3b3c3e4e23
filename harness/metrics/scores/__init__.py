"""Pure functions behind the measures: features and numbers in, numbers out.

Features come in as float32 arrays or tensors, one row per picture; every statistic is computed in float64.
Nothing here knows of files, models, methods or records.
"""
