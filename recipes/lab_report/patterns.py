"""What the cells of a report look like, and the commonest words in it, in the languages that the recipe knows."""

from __future__ import annotations

import re

GLUED = r"(?:HH|LL|[HL↑↓▲▼¤†‡»°#])(?=\d)"
"""A flag without a gap before its number, as a narrow column leaves them."""
COMPARATOR = r"(?:<=|>=|[<>≤≥~] ?)?"
NUM = rf"{COMPARATOR} ?-?\d+(?:[.,]\d+)*(?: \d{{3}})*"
FLAG = r"(?:[HLN]{1,2}|[+*↑↓▲▼!-]{1,3}|\(!\)|\[[A-Z]\]|[¤»†‡°]|[A-Z][a-z]{2,8}|[a-z]{3,8})"
UNIT = (
    r"(?:[^\W\d_]{0,6} ?(?:/ ?(?:10+ )?[^ ]*[^\W\d_][^ ]*|[%‰])(?: [A-Z]+)?"
    r"|[xх]? ?10[\^*Ee]?[\d⁰-⁹]*/ ?\w+|[fpnμmk]?[glLUM]|IU|s|sec|mm|[фпнмк]?[гл]|сек|Ед|мм)"
)
LIMITS = r"(?:[^\W\d_][^\d<>]{0,24})?"
RANGE = rf"[\[(]?{LIMITS} ?(?:{NUM} ?(?:-|[^\W\d_]{{1,3}}) ?{NUM}|[<>≤≥]=? ?(?:1:\d+|{NUM}))[\])]?"
WORD = (
    # What is seen or not, and what is not known yet, in whole words: names begin as they do.
    r"(?:(?:not|none?|non|no se|niet|geen|nicht|nie|pas|não|ej) (?:seen|found|observ\w+|gezien|gesehen|vus?|vist[oai]s?"
    r"|sedd?a?)|pending|in progress|to follow|in arbeit|(?:steht aus|folgt)|in bewerking|volgt|en cours|à suivre"
    r"|(?:\w+ )?en (?:curso|marcha)|pendiente|por llegar|in (?:corso|esecuzione|lavorazione)|segue"
    r"|em (?:curso|andamento|execução)|pendente|в работе|(?:ще )?не готов[оа]?|(?:jeszcze )?niedostępn\w+"
    r"|w (?:toku|realizacji|trakcie)|pågår|ej klar[t]?|probíhá|çalışılıyor|noch unterwegs|noch nicht fertig"
    r"|none|nil|geen|keine?|aucune?|ningun[oa]?|nessun[oa]?|nenhuma?"
    r"|(?:(?:non?|not|niet|nicht|pas|não|не|nie|ej|μη|δεν) )?-?"
    r"(?:neg|pos|n[ée]g|detec|d[ée]tec|react|r[ée]act|reakt|reatt|rilev|presen"
    r"|pr[ée]sen|absen|assent|ausen|aanw|afw|nachw|aantoon|trac|spoor|spur|indeterm"
    r"|αρνητ|θετικ|ίχν|απουσ|αντιδρ|ανιχν|отриц|полож|обнаруж|выявл|отсутс|следы|липсв|негат|позит|виявл|відсут|сліди"
    r"|ujemn|dodat|nieobec|obecn|ślad|wykry|niereakt|reagen|vestíg|pozit|görülm|saptan|eser|neproká|proká|nepřít|stop[ay]"
    r"|påvis)\w*"
    r"|(?:غير |لا )?(?:سلبي|سالب|[إا]يجابي|موجب|موجود|يوجد|آثار|تفاعلي)ة?|(?:לא )?(?:שלילי|חיובי|נמצאו?|זוהה)ת?"
    r"|[弱]?(?:阴性|阳性|陰性|陽性)(?:\([+-]\))?|未见|未检出|检出|微量|検出せず|検出)"
)
"""Beginnings of the commonest words for a finding, in English, Dutch, German, French, Spanish, Italian, then in Greek,
Russian, Bulgarian, Ukrainian, Polish, Portuguese, Turkish, Czech and Swedish; whole words in Arabic, Hebrew, Chinese
and Japanese.
"""

LEGEND = re.compile(
    r"(?:(?:non?|not|niet|nicht|pas|weakly|strongly|zwak|schwach|faiblement)[ -]?)?"
    r"(?:positi(?:ve?|vo|va|f|ef)|n[ée]gati(?:ve?|vo|va|f|ef)|reactive|reactief|reaktiv|r[ée]acti[fv]e?|rea[ct]tivo"
    r"|detected|indeterminate|equivocal|borderline|grenzwertig|отрицательн\w+|положительн\w+|αρνητικ\w+|θετικ\w+"
    r"|ujemn[yae]|dodatni[ae]?|pozitif|negatif|pozitivní|negativní|阴性|阳性|陰性|陽性)"
    r"|(?:neg|n[ée]g|pos)\.?",
    re.IGNORECASE,
)
LEVEL = re.compile(
    # Levels stand alone, or as levels of a risk: "High-sensitivity CRP" and "Target cells" are tests.
    r"(?:(?:very|near|mildly|severely|zeer|licht|ernstig|sehr|leicht|stark|schwerer?|très|muy|molto|очень) )?(?:"
    r"normal[e]?|normaal|desirable|optim\w+|borderline|high|low|(?:in)?sufficient|sufficiency|deficient|deficiency|toxic"
    r"|impaired|(?:pre-?)?diabetes|wenselijk|verhoogd|hoog|laag|tekort|wünschenswert|grenzwertig|erhöht|hoch|niedrig"
    r"|mangel|toxisch|souhaitable|limite|élevé|carence|déficit|toxique|deseable|óptimo|límite|alto|bajo|tóxico"
    r"|(?:in)?suficiente|desiderabile|ottimale|basso|carenza|tossico|desejável|elevado|baixo|норма|желательно|высокий"
    r"|низкий|дефицит|бажано|високо|низько|желателно|επιθυμητό|υψηλό|ανεπάρκεια|τοξικότητα|vysoký|nízký|žádoucí|önskvärt"
    r"|(?:positi|n[ée]gati)\w{1,4})"
    r"(?: (?:risk|risico|risiko|risque|riesgo|rischio|risco|ryzyko|riziko|риск))?(?: ?\([^)]*\))?:?"
    # Limits and targets go on with what they are of.
    r"|(?:(?:limit of )?(?:detection|quantification)(?: limit)?|grey zone|immun\w+ from"
    r"|(?:first|second|third|1st|2nd|3rd|eerste|tweede|derde) trimester(?! [^\W\d_])|[123]\. ?trim(?:enon|ester)"
    r"|(?:reference|normal) (?:range|value|interval)s?|detectielimiet|bepalingsgrens|referentiewaarden?|nachweisgrenze"
    r"|bestimmungsgrenze|referenz(?:bereich|werte?)|limite de d\w+|valeurs? de référence|límite de d\w+"
    r"|valor(?:es)? de referencia|limite di \w+|valori di riferimento|valores de referência|целев\w* значени\w"
    r"|предел \w+|иммунитет от|межа \w+|граница на \w+|όριο \w+|granica \w+|referans değer\w*|tespit sınırı|mez \w+"
    r"|detektionsgräns|סף גילוי|حد الكشف|检测限|检出限|検出限界)(?:\W.*)?"
    r"|(?:streefwaarde|zielwert)n?(?:\W.*)?"
    r"|(?:target|goal|objectif|cible|objetivo|obiettivo|alvo|hedef|στόχος|мета)"
    r"(?:(?: (?:for|in|voor|bij|für|bei|chez|en|para|per|nel) .*| ?[<>≤≥:].*))?",
    re.IGNORECASE,
)
"""What levels of a value and limits of its method are called, in the commonest languages: no result's name."""
AGE = re.compile(
    r"\d{1,3} ?(?:(?:y(?:ears?|rs?|\.)?|jahren?|anni|ans?|años?|anos?|jaar|лет|год\w*|років|рок\w*|lat|let|år|yaş|yıl"
    r"|ετών|έτη|سنة|عام|שנים|岁|歳|才)\b.*|(?:j\.?|г\.|л\.|l\.)(?: .*)?)",
    re.IGNORECASE,
)
VALUE_CELL = re.compile(
    rf"(?:{FLAG} |{GLUED})?(?:{NUM}|\d\+|\+{{1,4}}|1:\d+)(?: ?(?P<unit>{UNIT}))?(?: {FLAG}|[*†‡¤»!]{{1,2}}){{0,2}}"
)
FINDING_CELL = re.compile(
    rf"(?:{FLAG} )?{WORD}\.?(?: (?:de|di) \w+)?(?: \([\d.,<>+-]+\))?(?: {FLAG}){{0,2}}", re.IGNORECASE
)
FLAG_CELL = re.compile(FLAG)
UNIT_CELL = re.compile(UNIT)
RANGE_CELL = re.compile(rf"(?:{UNIT} )?{RANGE}(?: ?{UNIT})?")
# Value, unit and range without a gap between them.
MEASURED_CELL = re.compile(rf"(?:{FLAG} )?{NUM}(?: {FLAG})?(?: [^\s<>≤≥]+){{0,3}}? {RANGE}")
# Of a scan, letters that OCR does not know may be missing before the colon.
COLON = re.compile(
    rf"(?P<name>(?:\d{{1,2}}(?:,\d{{1,2}})*-\(?)?[^\W\d_][^:]{{1,60}}|): "
    rf"(?:{FLAG} |{GLUED})?{NUM}(?: ?(?P<unit>{UNIT}))?(?: {FLAG})?"
    rf"(?P<range> +(?=[(\[]){RANGE_CELL.pattern})?[.,;]?"
)
RESULT_TITLE = re.compile(
    r"result|outcome|finding|current|aktuell|actuel|attual|huidig|r[ée]sult|risult|esito|uitsl|bevind|gevond|waarde|wert|ergeb|befund|gefund|valeur|valor[ei]?\b|value"
    r"|αποτ[εέ]λ[εέ]σμ|τιμή\b|результат|резултат|значени|стойност|wynik|wartość|sonu[cç]|değer|v[ýy]sled"
    r"|hodnot|värde|نتيجة|النتائج|القيمة|תוצא|ערך|结果|結果|测定值|検査値|測定値",
    re.IGNORECASE,
)
NO_LIMITS_TITLE = re.compile(
    r"\b(?:result|r[ée]sultat|risultat|finding|outcome|bevinding|uitslag|ergebnis|befund|messwert|esito|wynik|sonu[cç]"
    r"|αποτ[εέ]λεσμ|результат|резултат|v[ýy]sled|nález)|نتيجة|תוצא|结果|結果",
    re.IGNORECASE,
)
"""Words that no title of ranges alone has; "values" are of both kinds."""
UNIT_TITLE = re.compile(
    r"un[ií][td]|eenh|einh|dimens|μονάδ|μον\.|\bед\.|един|одиниц|мерн|jedn|j\.m\.|birim|enhet|وحدة|الوحدات|יחיד|单位|単位",
    re.IGNORECASE,
)
LIMITS_TITLE = re.compile(
    r"ref|r[ée]f|rif|expected|erwart|attendu|esperad|attes[oi]|verwacht|norm(?![eé]tan|eta|oblast)|range|limit|l[íi]mit|interv|bereich|streef|richt|soll"
    r"|αναφορ|φυσιολ|όρια|реф|норм|границ|интервал|zakres|aralı|mez[eí]"
    r"|gräns|مرجع|طبيعي|المدى|טווח|ייחוס|נורמ|参考|参照|基準",
    re.IGNORECASE,
)
OTHER_TITLE = re.compile(f"{UNIT_TITLE.pattern}|{LIMITS_TITLE.pattern}", re.IGNORECASE)
"""Parts of the commonest titles of columns: of results, and of units or ranges."""

NAME_TITLE = re.compile(
    r"(?:laboratory |lab )?(?:tests?|test name|exam(?:ination)?s?|analytes?|analys[ie]s|investigations?|components?"
    r"|determinations?|parameters?|assays?|bepaling(?:en)?|onderzoek(?:en)?|analyses?|untersuchung(?:en)?|analyt"
    r"|messgröße|bestimmung|examens?|paramètres?|dosages?|pruebas?|determinaci[óo]n(?:es)?|parámetros?"
    r"|exámenes|análisis|esam[ei]|analiti?|parametri?o?|analisi|exames?|parâmetros?|análises?|badani[ae]|parametr[y]?"
    r"|vyšetření|analýza|tetkik(?:ler)?|test adı|tahlil|undersökning(?:ar)?|analys(?:er)?|показател[ьи]|исследовани[ея]"
    r"|анализы?|наименование|параметри?ы?|изследван[ея]|показник|дослідження|εξ[εέ]τ[αά]σ(?:η|εις)|παράμετρο[ςι]"
    r"|التحليل|الفحص|الاختبار|בדיקה|שם הבדיקה|项目|检验项目|項目|検査項目)",
    re.IGNORECASE,
)
"""Whole titles of the column of names."""
METHOD_TITLE = re.compile(
    r"method(?:e|en|ology)?|techni[qk]\w*|verfahren|méthode|método|metod[oaiy]?|методи?|yöntem|μέθοδος"
    r"|الطريقة|שיטה|方法|検査方法",
    re.IGNORECASE,
)
"""Whole titles of columns of methods."""

PRICE_TITLE = re.compile(
    r"(?:unit |line )?(?:price|amount|fee|charge|cost)s?|qty|quantity|prix(?: unitaire)?|montant|quantité|tarif"
    r"|(?:einzel|gesamt|stück)?(?:preis|betrag)|menge|anzahl|precio|importe|cantidad|prezzo|importo|quantità"
    r"|prijs|bedrag|aantal|preço|valor (?:unitário|total)|цена|сумма|стоимость|количество|cena|kwota|ilość|částka"
    r"|množství|pris|belopp|antal|fiyat|tutar|adet|τιμή μονάδας|ποσό|السعر|المبلغ|מחיר|סכום|单价|金额|数量|単価|金額",
    re.IGNORECASE,
)
"""Whole titles of columns of invoices and requisitions."""
EARLIER_TITLE = re.compile(
    r"previous|prior\b|earlier|voorgaand|vorw|vorbef|vorher|früher|vorig|eerder|ant[ée]r|pr[ée]c[ée]d"
    r"|προηγ|предыд|пред\.|ранее|предиш|поперед|poprz|önceki|předch|minul|tidigare|föreg|سابق|קודמ|קודם|上次|历史|前回",
    re.IGNORECASE,
)
BLOCKS = {
    "patient": re.compile(
        r"(?:name of )?(?:patient|paziente|pati[eë]nt|paciente)(?:['’]?s? name)?|nom|naam|utente|pacjent"
        r"|nazwisko i imię|pacient|jméno|hasta(?: adı(?: soyadı)?)?|adı soyadı|пациент|пацієнт|фио|піб"
        r"|ασθενής|ονοματεπώνυμο"
        r"|(?:اسم )?المريض|الاسم|שם(?: המטופל)?|(?:患者)?姓名|(?:患者)?氏名",
        re.IGNORECASE,
    ),
    "specimen": re.compile(
        r"(?:specimen|sample|material|materiaal|materiale|probe|staal|monster|muestra|campione|[ée]chantillon)"
        r"(?: ?(?:type|id|no\.?|nr\.?|number|material|\d{1,2}))?",
        re.IGNORECASE,
    ),
    "date": re.compile(
        r"(?:date (?:of )?)?collect(?:ed|ion)(?: date| time)?(?: on)?|drawn"
        r"|(?:specimen |sample )?collection (?:date|time)"
        r"|entnahme\w*|abnahme\w*|afname\w*|provtag\w*|prøvetaging\w*|datum odběru|odběr|odebráno"
        r"|pr[ée]l[eè]vement|pr[ée]lev[ée](?:e|s)? le|prelievo|toma"
        r"|(?:date|data|fecha) (?:de|du|di|da) (?:pr[ée]l[eè]vement|prelievo|toma|coleta|colheita|extracci[óo]n)"
        r"|coleta|colheita|data pobrania(?: materiału)?|pobran[oie]\w*"
        r"|(?:numune|örnek) al(?:ma|ım|ınma) (?:tarihi|zamanı)"
        r"|(?:ημερομηνία |ημ\.? ?)δειγματοληψίας|δειγματοληψία"
        r"|дата (?:взятия|забора|забору|взяття|на вземане)(?: (?:био)?мат\w+| проб\w*)?|взятие (?:био)?материала"
        r"|تاريخ (?:سحب|أخذ|جمع) العينة|תאריך (?:נטילה|לקיחה|דגימה)(?: הדגימה)?"
        r"|采[样集](?:时间|日期)|採[取血]日時?",
        re.IGNORECASE,
    ),
}
"""Labels of blocks of a report, in the commonest words of twenty languages."""
