"""Names under which many have theirs, as far as an installation may take them for granted."""

from typing import Final

NAMES: Final = """
ac.uk co.uk gov.uk ltd.uk me.uk mod.uk net.uk nhs.uk org.uk parliament.uk plc.uk police.uk sch.uk
service.gov.uk homeoffice.gov.uk gov.scot nhs.scot gov.wales nhs.wales llyw.cymru
com.au edu.au gov.au net.au org.au co.nz govt.nz org.nz gc.ca com.br gov.br com.cn gov.cn co.in gov.in nic.in
co.jp go.jp lg.jp co.kr go.kr co.za gov.za gov.ie gouv.fr gob.es gov.it gov.pl gov.pt gov.gr admin.ch gv.at
eu.org github.io herokuapp.com cloudapps.digital
"""
"""Registries of the United Kingdom and of countries like it, governments, and some that give names to everybody. Names
of one label need no place here: no domain may be one.
"""
PUBLIC_SUFFIXES: Final = tuple(NAMES.split())
