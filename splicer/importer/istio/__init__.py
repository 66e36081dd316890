"""Importing resources of Istio (https://istio.io/latest/docs/reference/config/networking/) and HTTPRoutes."""
