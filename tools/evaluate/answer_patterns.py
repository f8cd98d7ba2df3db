"""How responses state an answer: patterns by kind, from the most explicit to the barest, in several languages.

Every pattern has a group `letter`. `LEAD` ends where the answer begins, so that it also serves for answers in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ABOUT = r"(?:\s+(?:to|for|of)\s+(?:the|this|that|your)\s+(?:above\s+)?(?:question|problem|puzzle|riddle))?"
_THING = r"(?:answer|option|choice|letter)"
_ENGLISH = rf"\b(?:(?:final|my)\s+)?(?:answer(?:\s+choice)?{_ABOUT}|(?:correct|right|best)\s+(?:{_THING}|one))"
_VERB = (
    r"[\s*_`\"'”]*(?::|=|–|-(?!\w)|\b(?:is|was|are|would\s+be|should\s+be|must\s+be|will\s+be|to\s+be|seems\s+to\s+be|"
    r"appears\s+to\s+be|has\s+to\s+be|could\s+only\s+be|can\s+only\s+be)\b)"
)
_OTHERS = (
    # Latin script: German, French, Spanish, Portuguese, Italian, Dutch, Polish, Czech, Swedish, Turkish, Indonesian,
    # Vietnamese
    r"\b(?:(?:richtige|korrekte|endgültige)\s+)?(?:Antwort|Lösung)(?:soption)?\b(?:\s+(?:ist|lautet|wäre))?(?:\s+(?:also|daher|somit))?",
    r"\b(?:réponse|option|solution)(?:\s+(?:correcte|finale|exacte))?\s+(?:est|serait)(?:\s+donc)?|\bréponse(?:\s+(?:correcte|finale))?\s*:",
    r"\b(?:respuesta|opción|alternativa)(?:\s+(?:correcta|final))?(?:\s+(?:es|sería)|\s*:)",
    r"\b(?:resposta|opção|alternativa)(?:\s+(?:correta|certa|final))?(?:\s+(?:é|seria)|\s*:)",
    r"\b(?:risposta|opzione)(?:\s+(?:corretta|giusta|finale))?(?:\s+(?:è|sarebbe)|\s*:)",
    r"\b(?:het\s+)?(?:(?:juiste|goede|correcte)\s+)?antwoord\s*(?:is|:)",
    r"\b(?:(?:poprawna|prawidłowa)\s+)?(?:odpowiedź|odpowiedzią)(?:\s+(?:to|jest))?",
    r"\b(?:správná\s+)?odpověď(?:\s+je)?",
    r"\b(?:rätt\s+|det\s+rätta\s+)?svar(?:et)?\s*(?:är|:)",
    r"\b(?:doğru\s+)?(?:cevap|yanıt|seçenek)\b",
    r"\bjawaban(?:nya)?(?:\s+yang\s+(?:benar|tepat))?(?:\s+adalah)?",
    r"đáp\s+án(?:\s+(?:đúng|chính\s+xác|cuối\s+cùng))?(?:\s+là)?",
    # Cyrillic, Greek, Arabic, Hebrew, Hindi, Bengali, Thai
    r"\b(?:(?:правильный|верный|итоговый)\s+)?(?:ответ|вариант)(?:ом)?(?:\s+(?:является|это|будет))?",
    r"\b(?:(?:правильна|вірна)\s+)?відповідь(?:\s+це)?",
    r"\b(?:σωστή\s+)?απάντηση(?:\s+είναι)?",
    r"(?:الإجابة|الجواب)(?:\s+(?:الصحيحة|الصحيح|النهائية))?(?:\s+(?:هي|هو))?",
    r"(?:התשובה)(?:\s+(?:הנכונה|הסופית))?(?:\s+היא)?",
    r"(?:सही\s+)?(?:उत्तर|जवाब|विकल्प)(?:\s+है)?",
    r"(?:সঠিক\s+)?উত্তর(?:\s+হল|\s+হলো)?",
    r"คำตอบ(?:ที่ถูกต้อง)?(?:\s*คือ)?",
    # Chinese, Japanese, Korean
    r"(?:(?:正确|最终|最佳|標準|标准|正確)的?)?(?:答案|选项|選項|答)(?:应该|應該|应|應|就)?(?:是|为|為|选|選|乃)?(?:选项|選項)?",
    r"(?:所以|因此|故|应|應|应该|本题|正确)?(?:选择|選擇|选|選)(?:择)?(?:的是|项|項)?",
    r"(?:(?:正しい|最終的な|最も適切な)\s*)?(?:答え|解答|回答|正解|選択肢)(?:は|が)?(?:、|選択肢)?",
    r"(?:정답|답|최종\s*답)(?:은|는|이)?",
)
_FILLER = (
    r"(?:[\s:*_`\"'“”‘’$=>#~\]\-–—]|\b(?:therefore|thus|hence|most|likely|probably|definitely|clearly|indeed|simply|still|the|"
    r"option|choice|letter|answer|also|donc|la|le|el|lettre|letra|opción|option|lettera|opzione|Buchstabe|Option|литера|буква|вариант|"
    r"to|jest|adalah|là|pilihan|phương\s+án|это)\b|选项|選項|選択肢|\\(?:boxed|text|textbf|mathrm|mathbf)\b|\\[(\[]|[{(\[<]){0,40}"
)
LETTER = r"(?P<letter>[A-Za-z])(?![^\W_])(?![-'’][^\W_])"
_ANY_LETTER = r"(?P<letter>[A-Z])(?![A-Za-z0-9])(?![-'’][^\W_])"
"""A letter that a script without spaces may follow: 答案是B因为."""
CAPITAL = r"(?P<letter>[A-Z])(?![^\W_])(?![-'’][^\W_])"
_NOUN = r"(?:answer|option|choice)"
LEAD = re.compile(rf"(?:{_ENGLISH}){_VERB}|\bAns(?:wer)?\s*[:.]|(?:{'|'.join(_OTHERS)})\s*[:是为は]?", re.IGNORECASE)


def _compile(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


EXPLICIT = _compile(
    (
        rf"(?i:{_ENGLISH}{_VERB}{_FILLER}){LETTER}",
        rf"(?i:{_ENGLISH})[\s:]*(?:[(\[]|\*\*[(\[]?){LETTER}",
        rf"(?i:\bAns(?:wer)?\s*[:.]{_FILLER}){LETTER}",
        rf"(?i:\bchoose\s+the\s+answer,?\s*)[(\[*]*{LETTER}",
        rf"(?im:\banswer[*_#:\s]{{0,40}}\n[\s*_(\[]{{0,40}}){LETTER}(?m:[\s*_)\].]*$)",
        rf"\\boxed\s*\{{\s*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{{)?\s*(?i:option\s+)?[(\[]?{LETTER}"
        r"(?:[)\]]?\s*\}|[).:\]]\s*[^{}\n]*\})",
        rf"(?<![^\W_])(?<!['’]){CAPITAL}[)\]\"*.]*\s+(?:is|would\s+be)\s+"
        rf"(?:(?:the\s+)?(?:correct|right|best)\s+{_NOUN}|(?:the|my)\s+(?:final\s+)?answer)\b",
        rf"(?i:\b{_NOUN})\s+[(\[\"*]*{CAPITAL}[)\]\"*]*\s+is\s+(?:correct|right|the\s+(?:correct|right|best|answer))\b",
        rf"[(\[]{CAPITAL}[)\]]\s+is\s+(?:correct|right|the\s+(?:correct|right|best|answer))\b",
        rf"[\"'](?i:answer|choice|option|final_answer|correct_option|letter)[\"']\s*:\s*[\"'(\[]*{LETTER}",
        rf"<\|begin_of_box\|>\s*[(\[*]*{LETTER}[)\]*.:]*[^<]*<\|end_of_box\|>",
        rf"(?i:{'|'.join(_OTHERS)}){_FILLER}{_ANY_LETTER}",
        r"(?:选项|選項)?(?<![A-Za-z0-9])[(\[]?(?P<letter>[A-Z])[)\]]?"
        r"(?:选项|選項|项)?(?:是|为|為)?(?:正确|正確|对的|最佳)(?:答案|的|选项)?",
        r"[「『(\"]?(?<![A-Za-z0-9])(?P<letter>[A-Z])[」』)\"]?\s*"
        r"(?:です|である|が正解|が正しい|입니다|이다|가 정답|이 정답)",
    )
)
_AGAIN = (
    r"(?:but|rather|instead|so|actually|it(?:'s|’s)?|that(?:'s|’s)?|is|must|should|be|the|correct|right|answer|option|"
    r"choice|letter)"
)
CORRECTED = _compile(
    (
        # "not A; it's B", "not A but B"; what was given up stands before, what is meant behind
        rf"(?i:\b(?:not|isn['’]t))\s+(?i:option\s+|choice\s+)?[(\[\"*]*[A-Z][)\]\"*]*\s*[,;:.–—-]*\s*"
        rf"(?i:\b{_AGAIN}\s+)+(?i:option\s+|choice\s+)?[(\[\"*]*{CAPITAL}",
        rf"(?i:\b(?:not|isn['’]t))\s+(?i:option\s+|choice\s+)?[(\[\"*]*[A-Z][)\]\"*]*\s*[,;.–—-]+\s*[(\[\"*]*{CAPITAL}[)\]\"*.!]*\s*\Z",
        # "A, no, B", "A... wait, actually B"
        rf"(?i:\b(?:no|wait|actually|correction|sorry|oops|scratch\s+that|i\s+mean|make\s+that|rather|hmm))\b[,.:!…\s–—-]+"
        rf"(?:(?i:\b(?:no|wait|actually|correction|sorry|i\s+mean|{_AGAIN[3:-1]}))[,.:!…\s–—-]+){{0,6}}[(\[\"*]*{CAPITAL}[)\]\"*]*\s*(?=[.,;!]|\Z)",
        r"(?:不是|并非|並非|而非)\s*[(\[]?[A-Z][)\]]?\s*[,;]?\s*(?:而是|应该是|应为|是)\s*(?:选项|選項)?[(\[]?(?P<letter>[A-Z])(?![A-Za-z0-9])",
    )
)
CHOSEN = _compile(
    (
        rf"(?i:\b(?:choose|select|pick|chose|selected|picked|go(?:ing)?\s+with|opt\s+for|vote\s+for|settle\s+on|say)\s+"
        rf"(?:the\s+)?(?:{_NOUN}|letter)?[\s,:]*)[(\[\"*]*{CAPITAL}",
        rf"(?<![^\W_])(?<!['’]){CAPITAL}[)\]\"*.]*\s+(?:is\s+(?:correct|right|the\s+one|the\s+(?:most\s+\w+|only\s+\w+))|fits|matches|"
        r"makes\s+(?:the\s+most\s+)?sense|must\s+be\s+(?:it|right|correct)|seems\s+(?:right|correct|best)|works)\b",
    )
)
_OPENING = (
    r"(?:(?:so|thus|therefore|hence|then|ok|okay|well|finally|overall|clearly|in\s+(?:conclusion|summary|short)|i\s+think|i\s+believe|"
    r"which|it|it['’]s|its|that|that['’]s|this|is|must|should|would|will|be|the|correct|right|best|final|my|answer|option|choice|letter|"
    r"response|solution|definitely|probably|likely|most|has|to|result|selected|correct_option|conclusion|got|guess|i['’]d|say)\b[\s,:*_=>#-]*)"
)
BARE = _compile(
    (
        rf"(?:\A|\n)[\s*_(\[\"'`$>#-]{{0,40}}{LETTER}[\s*_)\].\"'`$!:]*\Z",
        rf"\A\s*[(\[*]*{CAPITAL}[)\].:*]+[ \t]+[^\n]*\Z",
        rf"(?i:(?:\A|\n|[.!?;:…,]\s|[.!?]\n)[\s*_(\[\"'>#-]{{0,20}}{_OPENING}{{1,10}})[(\[\"'*_`$]*{CAPITAL}[)\].\"'*_`$!]*\s*\Z",
        rf"\A\s*[(\[*]*{CAPITAL}[)\].:*]*[ \t]*\n",
        r"\A\s*[(\[*]*(?P<letter>[A-Z])[)\]*]*\s*(?:选项|選項|项|項)[.]?\s*\Z",
        rf"\A\s*[(\[*]*{CAPITAL}[)\].:*]+[ \t]+(?![^\n]*\n\s*[(\[*]*[A-Z][)\].:])",
        rf"\A\s*(?i:{_NOUN}|letter)\s+[(\[*]*{CAPITAL}",
        rf"\A\s*{CAPITAL}\s*[,–—-]\s+(?i:because|since|as|the|it)\b",
    )
)
WIDE = str.maketrans(
    {
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
        **dict(zip("。、「」『』【】〔〕　\u00a0", '.,""""[][]  ', strict=True)),
        **dict(zip("ⒶⒷⒸⒹⒺⒻⒼⒽ", "ABCDEFGH", strict=True)),
    }
)
"""Full-width forms and the marks of East Asian texts, one character each, so that offsets stay."""
_CYRILLIC = dict(zip("АВСЕНОР", "ABCEHOP", strict=True))
ALIKE = re.compile(rf"(?<![^\W_])[{''.join(_CYRILLIC)}](?![^\W_])")
"""Lone Cyrillic capitals that look like Latin ones: a Russian answer writes the option's letter with them."""


def latin_letter(match: re.Match[str]) -> str:
    """The Latin letter that looks like this Cyrillic one."""
    return _CYRILLIC[match.group()]
