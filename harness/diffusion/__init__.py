"""The toolbox that methods are written with: backbones, sampling, training, the Lipschitz constraint."""
