"""The interface of `_sending.c`."""

def send_many(descriptors: list[int], data: bytes | list[bytes]) -> list[tuple[int, int]]:
    """Send the same bytes to each socket, or to each its own.

    Returns (index, bytes sent) for each that did not take all.
    """
