from ssl import SSLObject

class Records:
    ssl_object: SSLObject

def set_direct(yes: bool) -> bool: ...
def is_direct() -> bool: ...
