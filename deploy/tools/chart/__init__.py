"""The Helm chart, made from the kustomize base and its components."""
