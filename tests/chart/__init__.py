"""The image, the chart and the manifests, judged without a cluster.

Real Helms render them, published schemas judge them, and what must fit together is compared.
"""
