"""Who sings: every voice by name, and who is kept from training. A person is never on both sides."""

from __future__ import annotations

from typing import Literal

from training.vocals.speech_sources import Source

Cast = Literal["train", "held-out"]

INVENTED = {"train": 24, "held-out": 6}  # voices of `throat`, seeded by their number

_ESPEAK = {
    "train": (
        "en-gb+m3 en-us+f1 en-us+f2 en-gb+f3 en-gb-scotland+m2 en-us+klatt en-gb+klatt2 en-us+Annie en-gb+Alicia "
        "en-us+Mike en-us+grandma en-gb-x-rp+m1 en-us-nyc+m6 en-029+m4 de+m3 de+f4 de+klatt3 de+Andy "
        "fr-fr+f3 fr-fr+m4 fr-be+Michael fr-ch+f2 es+m5 es-419+f1 es+pablo es-419+klatt it+f3 it+m1 it+sandro "
        "it+Andrea pt+m6 pt-br+f2 pt-br+marcelo pl+f1 pl+m2 pl+boris ja+f2 "
        "ja+m1 ja+Annie tr+m4 tr+f4 ru+m4 ru+f1 fi+m1 fi+f4 "
        "ca+f3 hi+f2 hi+m3 te+m2 sw+m5 sw+f1 cmn+f3 cmn+m3 cs+f2 cs+klatt2 mr+f4"
    ),
    "held-out": (
        "sv+m2 sv+f5 sv+m7 el+m8 el+f5 nl+m7 nl+klatt4 ko+f5 ko+m8 en-us+klatt4 en-us+linda en-gb+steph de+david "
        "fr-fr+Henrique it+belinda es+klatt5 pt-br+antonio"
    ),
}
_FLITE = {"train": ("awb", "rms", "kal16"), "held-out": ("slt",)}
_FESTIVAL = {
    "train": {
        "ked_diphone": "en",
        "upc_ca_ona_hts": "ca",
        "czech_dita": "cs",
        "czech_krb": "cs",
        "czech_ph": "cs",
        "lp_diphone": "it",
        "hy_fi_mv_diphone": "fi",
        "msu_ru_nsh_clunits": "ru",
        "hindi_NSK_diphone": "hi",
        "telugu_NSK_diphone": "te",
    },
    "held-out": {
        "cmu_us_slt_arctic_hts": "en",  # the person of flite's slt
        "czech_machac": "cs",
        "pc_diphone": "it",
        "suo_fi_lj_diphone": "fi",
    },
}
_PROMPTS = {
    "train": ("en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June", "ru_RU_f_IvrvoiceRU"),
    "held-out": ("it_IT_m_Carlo",),
}
_LETTERS = {
    "train": "ar cs da de en en_GB es fr hu it lt nds pt_BR ru tn".split(),  # noqa: SIM905 - a list of names reads so
    "held-out": "he ml nb nl uk".split(),  # noqa: SIM905
}
_ENCODINGS = {"cs": "iso-8859-2", "it": "latin-1", "fi": "latin-1", "ca": "latin-1"}


def sources(cast: Cast) -> list[Source]:
    """Recorded people first, as they count most where time is short."""
    people = [Source("folder", f"usr/share/asterisk/sounds/{name}", name[:2]) for name in _PROMPTS[cast]]
    people += [Source("folder", f"usr/share/klettres/{name}", name[:2]) for name in _LETTERS[cast]]
    people += [Source("flite", name, "en") for name in _FLITE[cast]]
    people += [
        Source("festival", name, language, _ENCODINGS.get(language, "utf-8"))
        for name, language in _FESTIVAL[cast].items()
    ]
    return people + [_espeak(name) for name in _ESPEAK[cast].split()]


def _espeak(name: str) -> Source:
    language = name.split("+")[0].split("-")[0]
    return Source("espeak", name, "zh" if language == "cmn" else language)
