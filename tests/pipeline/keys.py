"""Key files for signing."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def write_private_key(path, password=None, key=None):
    """Writes a private key, P-256 by default, to a file; returns its path."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    encoding = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        (key or ec.generate_private_key(ec.SECP256R1())).private_bytes(serialization.Encoding.PEM, encoding, encryption)
    )
    return str(path)


def write_public_key(path, key):
    """Writes the public key of the private key in the file `key`; returns its path."""
    public_key = serialization.load_pem_private_key((path.parent / key).read_bytes(), None).public_key()
    path.write_bytes(
        public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return str(path)
