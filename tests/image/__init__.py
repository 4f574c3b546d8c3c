"""The image of the Dockerfile, built and run: `make image-test`, as root on Debian."""
