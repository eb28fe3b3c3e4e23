"""The toy experiment of arXiv 2505.19519: five Gaussians, a small network, a sixth class."""
