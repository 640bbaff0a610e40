"""What is sent, as structs: answers are encoded from them, and the description of the API is made from them.

Which one a call answers with is what its handler returns: `Reply[AppShown]`. What one call alone answers with stands
beside its handler, as the form does that it reads.
"""

from paasd.api.answers.basis import (
    Answer,
    Described,
    ErrorObject,
    Errors,
    FeatureShown,
    Html,
    Lines,
    Link,
    LinkedMany,
    LinkedRelation,
    Links,
    MetadataShown,
    Nothing,
    OAuthRefusal,
    OfApp,
    Pagination,
    Reference,
    Refusal,
    Related,
    RelatedMany,
    Shown,
)
from paasd.api.answers.pages import Included, Page

__all__ = [
    "Answer",
    "Described",
    "ErrorObject",
    "Errors",
    "FeatureShown",
    "Html",
    "Included",
    "Lines",
    "Link",
    "LinkedMany",
    "LinkedRelation",
    "Links",
    "MetadataShown",
    "Nothing",
    "OAuthRefusal",
    "OfApp",
    "Page",
    "Pagination",
    "Reference",
    "Refusal",
    "Related",
    "RelatedMany",
    "Shown",
]
