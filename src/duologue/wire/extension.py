"""The extension API: what a WebSocket extension of anyone's must implement.

An extension is two things: a factory, which negotiates it in the opening handshake (one class for
each side, since the two sides have different duties there), and the extension itself, which
transforms frames of one connection. Names and signatures are those of `websockets.extensions`.

This module must never know a particular extension, nor anything of connections.

Invariants:
    * a factory may serve many connections and keeps no state of any of them;
    * an extension belongs to one connection.

Source: RFC 6455 section 9.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from duologue.base.types import ExtensionName, ExtensionParameter

if TYPE_CHECKING:
    from duologue.wire.frame import Frame

__all__ = ["ClientExtensionFactory", "Extension", "ServerExtensionFactory"]


class Extension(ABC):
    """An extension agreed on for one connection.

    Outgoing frames pass the extensions in the order in which the server accepted them, incoming
    frames in the opposite order (RFC 6455 section 9.1). Control frames are passed too; most
    extensions return them unchanged.

    Attributes:
        name: Registered name of the extension.
    """

    name: ExtensionName

    @abstractmethod
    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Transform an incoming frame.

        Args:
            frame: Frame as received, or as the extension before this one left it.
            max_size: Octets that the payload returned may have; None for any number. The
                extension must stop as soon as its output passes this, not after producing all.

        Returns:
            The frame without what this extension did to it, reserved bits included.

        Raises:
            ProtocolError: If the frame breaks the extension's rules.
            PayloadTooBig: If the payload would pass `max_size`.
        """

    @abstractmethod
    def encode(self, frame: Frame) -> Frame:
        """Transform an outgoing frame.

        Args:
            frame: Frame to send, or as the extension before this one left it.

        Returns:
            The frame to put on the wire or to hand to the next extension.
        """


class ClientExtensionFactory(ABC):
    """Negotiates an extension on behalf of a client.

    Attributes:
        name: Registered name of the extension.
    """

    name: ExtensionName

    @abstractmethod
    def get_request_params(self) -> Sequence[ExtensionParameter]:
        """Return the parameters to offer, as pairs of a name and a value or None."""

    @abstractmethod
    def process_response_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Extension],
    ) -> Extension:
        """Judge the parameters with which the server accepted the offer.

        Args:
            params: Parameters in the server's response.
            accepted_extensions: Extensions that the response named before this one.

        Returns:
            The extension, configured for this connection.

        Raises:
            NegotiationError: If the response does not follow from the offer; the connection must
                then fail (RFC 6455 section 4.1).
        """


class ServerExtensionFactory(ABC):
    """Negotiates an extension on behalf of a server.

    Attributes:
        name: Registered name of the extension.
    """

    name: ExtensionName

    @abstractmethod
    def process_request_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Extension],
    ) -> tuple[list[ExtensionParameter], Extension]:
        """Judge one offer of the client.

        Args:
            params: Parameters in the offer.
            accepted_extensions: Extensions accepted from offers before this one.

        Returns:
            The parameters to respond with, and the extension configured for this connection.

        Raises:
            NegotiationError: To decline this offer. The client's next offer is then judged.
        """
