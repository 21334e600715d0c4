"""Marking output as synthetic media, in the words of the standards that readers of metadata look for.

Regulation (EU) 2024/1689, article 50, asks that generated video be marked in a machine-readable way. The mark
used here is IPTC's digital source type, as an XMP packet where the container takes one, and as plain tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from thg_zoo.spec import ModelSpec
from thg_zoo.version import __version__

DIGITAL_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"

_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool={software}
    Iptc4xmpExt:DigitalSourceType={source_type}
    Iptc4xmpExt:AISystemUsed={system}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def synthetic_tags(spec: ModelSpec, variant: str) -> dict[str, str]:
    """Container tags that say: made by this software with this model, not recorded."""
    software = f"thg-zoo {__version__}"
    return {
        "comment": f"Synthetic media: made with {software}, model {variant}. Not a recording of what it shows.",
        "encoder_software": software,
        "generator_model": variant,
        "digital_source_type": DIGITAL_SOURCE_TYPES + spec.synthesis,
    }


def xmp_packet(tags: Mapping[str, str]) -> str:
    """The XMP packet that says the same as `synthetic_tags`."""
    return _XMP.format(
        software=quoteattr(tags["encoder_software"]),
        source_type=quoteattr(tags["digital_source_type"]),
        system=quoteattr(tags["generator_model"]),
    )
