"""The chart on a real cluster, with two nodes or more: `make cluster-test`.

    KUBECONFIG                 the cluster; its user may create namespaces and drain a node
    CONSTELLATION_IMAGE        the gateway's image as nodes name it; else the chart's default
    CONSTELLATION_VALKEY_IMAGE and CONSTELLATION_NODE_IMAGE, where nodes do not reach Docker Hub:
                               the chart's Valkey, and any image with Node.js 20, sh and tar

Everything happens in namespaces of its own, which go at the end. One node is cordoned for a while,
and only pods of these tests are evicted from it. No ingress, storage or load balancer is needed.
"""
