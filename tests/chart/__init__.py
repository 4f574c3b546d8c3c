"""The image, the chart and the manifests, judged without a cluster: rendered by real Helms, checked against schemas."""
