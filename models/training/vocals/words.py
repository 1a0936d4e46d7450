"""Lines to say before they are sung, by language, and made-up words for any of them. Text only."""

from __future__ import annotations

import numpy as np

LINES: dict[str, tuple[str, ...]] = {
    "en": (
        "The river takes my name and carries it away",
        "Hold me under neon light until the morning comes",
        "I never meant to shout, I only wanted you to hear",
        "Oh baby, baby, yeah, we are burning through the night",
        "She said goodbye in silver shoes, I laughed until I cried",
        "Why do the highways always lead me far from home",
        "Give it up, turn it up, jump back, come on, let go",
        "All of the stars are falling slow over the sleeping town",
        "Show me what is real, show me how to feel",
        "Thunder in my chest and your whisper in my ear",
        "We could be kings of nothing, dancing with the ghosts",
        "Five o'clock shadows stretch out across the floor",
    ),
    "de": (
        "Die Nacht ist kalt und du bist nicht mehr hier",
        "Ich geh durch leere Straßen, such nach deinem Licht",
        "Komm wir fliegen über Wolken bis zum Meer",
        "Schrei so laut du kannst, die Zeit bleibt niemals stehen",
        "Zwischen gestern und morgen liegt ein langer Weg",
        "Mein Herz schlägt schneller, wenn du leise lachst",
    ),
    "fr": (
        "Je marche seul sous la pluie de novembre",
        "Dis-moi pourquoi tu pars quand le jour se lève",
        "La lune est rouge et mon cœur est perdu",
        "On danse encore, on chante, on oublie demain",
        "Les oiseaux du matin connaissent ton prénom",
        "Reste un peu, j'ai besoin de ta voix",
    ),
    "es": (
        "Dame tu mano y vamos a bailar toda la noche",
        "Corazón de fuego, no me dejes caminar sin ti",
        "El viento sopla fuerte sobre la ciudad dormida",
        "Quiero volver a ver la luz de tu mirada",
        "Ay mi amor, qué lejos queda el mar",
        "Nunca es tarde para gritar lo que sentimos",
    ),
    "it": (
        "Portami via con te dove nasce il sole",
        "La mia voce si perde tra le onde del mare",
        "Amore amore, non dirmi che è finita",
        "Sotto la luna piena balliamo senza paura",
        "Che bella cosa cantare quando piove",
        "Ogni strada mi riporta sempre a casa",
    ),
    "pt": (
        "Vem comigo ver o sol nascer na praia",
        "A saudade bate forte quando a noite cai",
        "Eu não quero mais chorar por esse amor",
        "Canta, menina, que o vento vai levar",
        "No meu peito mora um rio sem fim",
    ),
    "sv": (
        "Jag vandrar hem genom snö och månsken",
        "Säg att du stannar hos mig i natt",
        "Havet sjunger sin sång för vinden",
        "Vi springer fort under sommarens himmel",
        "Allt jag ville var att höra din röst",
    ),
    "pl": (
        "Gdzie jesteś teraz, kiedy pada deszcz",
        "Chodź ze mną tańczyć do białego rana",
        "Moje serce szepcze twoje imię cicho",
        "Nad rzeką płynie stara piosenka",
        "Wszystko się zmienia, tylko noc ta sama",
    ),
    "ja": (
        "さくらのはながかぜにまう",
        "きみのこえがきこえるよるに",
        "とおいそらへうたをうたおう",
        "ゆめのなかでまたあえるかな",
        "あいしているといえなかった",
    ),
    "tr": (
        "Gel benimle denize doğru yürüyelim",
        "Gözlerinde kaldı bütün şarkılar",
        "Bu gece yıldızlar bizim için yanıyor",
        "Sensiz geçen günler çok uzun",
    ),
    "el": (
        "Πάμε μαζί να δούμε τη θάλασσα",
        "Η νύχτα είναι μεγάλη και σε θυμάμαι",
        "Τραγούδα μου ξανά για την αγάπη",
        "Ο ήλιος βγαίνει πάνω από τα νησιά",
    ),
    "ru": (
        "Снова падает снег на пустые дома",
        "Ты спой мне песню о далёкой реке",
        "Где-то за морем горят огни",
        "Я помню голос твой в тишине",
        "Ночь пройдёт, наступит утро ясное",
    ),
    "fi": (
        "Tuuli laulaa yli järven hiljaa",
        "Tule kanssani tanssimaan yöhön",
        "Sydämeni lyö kun kuulen sinut",
        "Kesä on lyhyt ja valo on pitkä",
    ),
    "cs": (
        "Pojď se mnou tančit až do rána",
        "Slyším tvůj hlas v letním dešti",
        "Nebe je plné tichých hvězd",
        "Řeka si zpívá o dávné lásce",
    ),
    "ca": (
        "Vine amb mi a mirar la lluna",
        "El vent del nord canta cançons",
        "Tinc el cor ple de mar i de foc",
        "Balla sense por fins que surti el sol",
    ),
    "nl": (
        "Ik loop alleen door de regen naar huis",
        "Zing nog een keer dat lied voor mij",
        "De zee is wild en de nacht is lang",
        "Geef me je hand, we gaan dansen",
    ),
    "hi": ("तेरी आवाज़ सुनाई देती है", "चलो मेरे साथ दूर कहीं", "रात भर चाँद गाता रहा", "दिल मेरा तुम्हें पुकारे"),
    "mr": ("तुझा आवाज ऐकू येतो", "चल माझ्या सोबत दूर", "रात्र गाणे गाते आहे", "मन माझे तुला शोधते"),
    "te": ("నీ గొంతు వినిపిస్తుంది", "నాతో రా దూరంగా వెళ్దాం", "రాత్రి పాట పాడుతుంది", "నా మనసు నిన్ను పిలిచింది"),
    "ko": ("너의 목소리가 들려와", "오늘 밤 나와 함께 춤춰", "바람이 불어 노래가 되고", "사랑한다고 말해 줘"),
    "sw": ("Njoo tucheze pamoja usiku huu", "Sauti yako nzuri yanipa furaha", "Bahari inaimba wimbo wa kale"),
    "zh": ("月亮照在我的心上", "你的声音像风一样", "我们一起唱到天亮", "远方的河流在歌唱"),
}
ONSETS = [
    "b",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "w",
    "sh",
    "ch",
    "st",
    "tr",
    "bl",
    "kr",
    "fl",
    "sp",
]
VOWELS = ["a", "a", "e", "i", "o", "u", "o", "a", "ai", "ee", "oo", "au"]
CODAS = ("", "", "", "", "n", "m", "s", "l", "r", "t")
LATIN = frozenset(["en", "de", "fr", "es", "it", "pt", "sv", "pl", "tr", "fi", "cs", "ca", "nl", "sw"])


def lines(language: str, count: int, rng: np.random.Generator) -> list[str]:
    """`count` lines, the written ones first in random order; made-up words follow in Latin-written languages."""
    written = [str(line) for line in rng.permutation(np.array(LINES[language]))]
    if language not in LATIN:
        return [written[index % len(written)] for index in range(min(count, 2 * len(written)))]
    return (written + [made_up(rng) for _ in range(count)])[:count]


def made_up(rng: np.random.Generator) -> str:
    """A line of nonsense with 8 to 12 syllables."""
    words, syllables = [], int(rng.integers(8, 13))
    while syllables > 0:
        size = min(int(rng.integers(1, 4)), syllables)
        words.append("".join(_syllable(rng) for _ in range(size)))
        syllables -= size
    return " ".join(words)


def _syllable(rng: np.random.Generator) -> str:
    return str(rng.choice(ONSETS)) + str(rng.choice(VOWELS)) + str(rng.choice(CODAS))
