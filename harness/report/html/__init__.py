"""The report: experiments as one HTML file that needs nothing else."""
