"""What Jolokia says when something is wrong: a status, and the name of a class of Java."""

from __future__ import annotations

from typing import Final

ILLEGAL_ARGUMENT: Final = "java.lang.IllegalArgumentException"
ILLEGAL_STATE: Final = "java.lang.IllegalStateException"
NO_INSTANCE: Final = "javax.management.InstanceNotFoundException"
NO_ATTRIBUTE: Final = "javax.management.AttributeNotFoundException"
BAD_SELECTOR: Final = "javax.jms.InvalidSelectorException"
JMS: Final = "javax.jms.JMSException"
EXCEPTION: Final = "java.lang.Exception"
INVALID_DESTINATION: Final = "javax.jms.InvalidDestinationException"
NO_SUCH_MESSAGE: Final = "java.util.NoSuchElementException"
SECURITY: Final = "java.lang.SecurityException"


class JolokiaError(Exception):
    """The end of a request; the answer has HTTP's status 200 all the same, and this one within."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind
        self.text = text

    @property
    def document(self) -> dict[str, object]:
        return {"error_type": self.kind, "error": f"{self.kind} : {self.text}", "status": self.status}
