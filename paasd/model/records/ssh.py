"""ssh into instances."""

from paasd.state import Record


class SshCode(Record, table="ssh_codes", key=("code_hash",), secret=("code_hash", "signature")):
    """A password for one ssh connection of one user, until `expires_at` (unix seconds).

    It stands for the token by which it was asked for: `client`, `scopes` and `with_factor` are the token's, `signature`
    the user's at that time. A `user_guid` of "root" is whoever is root on a node.
    """

    code_hash: str
    created_at: str = ""
    user_guid: str
    client: str = "cf"
    scopes: list[str] = []
    with_factor: bool = False
    signature: str = ""
    expires_at: int


class SshHostKey(Record, table="ssh_host_keys", key=("algorithm",), secret=("sealed_private",)):
    """What all nodes show to ssh clients until it is changed for the first time; from then on `Authority` rows count.
    `public_key` is as in known_hosts: algorithm and base64.
    """

    algorithm: str
    created_at: str = ""
    sealed_private: str
    public_key: str


class SshSwitch(Record, table="ssh_switches", key=("organization_guid",)):
    """That an organization allows or forbids ssh, whatever the platform's default is."""

    organization_guid: str
    created_at: str = ""
    allowed: bool
