"""Words that answers are made of."""


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


def word_map(table: dict[str, str]) -> dict[str, str]:
    """From each of the words on the right to its name on the left."""
    return {word: name for name, text in table.items() for word in text.split()}


# Two or three letters that are a word or an abbreviation; others may be a product of variables.
SHORT_WORDS = words("yes no on not all any odd red one two six ten dne")

SYNONYMS = {
    "infinity": r"\infty",
    "pi": r"\pi",
    "all real numbers": r"\mathbb{R}",
    "all reals": r"\mathbb{R}",
    "empty set": r"\emptyset",
    "the empty set": r"\emptyset",
}

NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen",
)  # fmt: skip

MEASURES = word_map(
    {
        "metre": "m meter meters metre metres",
        "centimetre": "cm cms centimeter centimeters centimetre centimetres",
        "millimetre": "mm millimeter millimeters millimetre millimetres",
        "decimetre": "dm decimeter decimeters decimetre decimetres",
        "kilometre": "km kms kilometer kilometers kilometre kilometres",
        "inch": "in inch inches",
        "foot": "ft foot feet",
        "yard": "yd yds yard yards",
        "mile": "mi mile miles",
        "gram": "g gm gms gram grams",
        "kilogram": "kg kgs kilogram kilograms",
        "milligram": "mg milligram milligrams",
        "pound": "lb lbs pound pounds",
        "ounce": "oz ounce ounces",
        "ton": "ton tons tonne tonnes",
        "second": "s sec secs second seconds",
        "minute": "min mins minute minutes",
        "hour": "h hr hrs hour hours",
        "day": "day days",
        "week": "week weeks wk wks",
        "month": "month months",
        "year": "year years yr yrs",
        "litre": "l liter liters litre litres",
        "millilitre": "ml milliliter milliliters millilitre millilitres",
        "gallon": "gal gals gallon gallons",
        "quart": "qt quart quarts",
        "pint": "pt pint pints",
        "acre": "acre acres",
        "hectare": "ha hectare hectares",
        "dollar": "$ dollar dollars usd buck bucks",
        "cent": "cent cents ¢",
        "euro": "€ euro euros eur",
        "pound sterling": "£ gbp",
        "yen": "¥ yen",
        "rupee": "₹ rupee rupees rs inr",
        "degree": "° degree degrees deg degs",
        "radian": "rad radian radians",
        "joule": "j joule joules",
        "newton": "n newton newtons",
        "watt": "w watt watts",
        "kilowatt": "kw kilowatt kilowatts",
        "volt": "v volt volts",
        "ohm": "ohm ohms",
        "hertz": "hz hertz",
        "kelvin": "k kelvin",
        "celsius": "celsius centigrade",
        "fahrenheit": "fahrenheit",
    }
)
COMPOUND_UNITS = {
    "mph": "mile / hour",
    "kph": "km / hour",
    "kmh": "km / hour",
    "kmph": "km / hour",
    "fps": "foot / second",
}
TEMPERATURES = {"c": "celsius", "celsius": "celsius", "f": "fahrenheit", "fahrenheit": "fahrenheit"}
ORDINALS = words("st nd rd th")
# Every word that may stand directly behind a numeral.
UNIT_WORDS = MEASURES.keys() | COMPOUND_UNITS.keys() | ORDINALS | words("sq cu")

# Words that make another value, another statement or a remark of the number before them.
NEVER_UNITS = words(
    """about above across actually after all almost alternatively always and another answer answers any
    anything approx approximately around as assuming at bad base because before below besides best
    between billionths both but by certainly choice choices claim confirmed correct definitely depending
    dozens each eighth eighths either else equals equivalent every everything except exactly factorial
    false fewer fifth fifths final for fourth fourths from gold good grade grader greater guess guesses
    guessed half halves hence hopefully hundreds hundredth hundredths if ignore impossible inclusive
    incorrect infinite instructions invalid irrelevant is largest least less like likely matches maximum
    maybe mean means millions minimum minus mod modulo more most negative negatives neither never no
    none nor not nothing obviously one ones only option options or ordered other others otherwise over
    perhaps plus positive possibly previous probably quarter quarters range really recurring reference
    repeating roughly same score should since sixth sixths smallest so solution some something sometimes
    somewhere such sure tens tenth tenths than that then there therefore these thing things third thirds
    this those thousands thousandth thousandths times to together true trust twice unknown unless until
    up valid value verified versus vs was what whatever when where whether which while will with without
    wrong yes your zeros zeroes zeroth twenty thirty forty fifty sixty seventy eighty ninety"""
) | frozenset(NUMBER_WORDS)
# Things that are counted and have no plural in s, or stand beside another noun ("children tickets").
THINGS = words(
    """people men women children mice geese sheep fish deer way person student ticket meal apple coin tile
    monkey marble page problem game point book child man woman team family car dog cat box cookie piece
    slice digit edge face vertex vertices side term integer prime triangle circle card ball candy egg
    pencil pie profit left total remaining older younger east west north south white blue green"""
)
