"""The discovery process: it asks Kubernetes which endpoints there are, so that workers needn't."""
