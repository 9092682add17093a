"""Keys in files, made for a test."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def private(path, password=None, key=None):
    """A private key in a file of its own; P-256 if none is given."""
    kind = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        (key or ec.generate_private_key(ec.SECP256R1())).private_bytes(serialization.Encoding.PEM, form, kind)
    )
    return str(path)


def public(path, key):
    """The public key of the private one in the file `key`."""
    own = serialization.load_pem_private_key((path.parent / key).read_bytes(), None).public_key()
    path.write_bytes(own.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return str(path)
