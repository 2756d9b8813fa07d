"""What each pattern is, in words, for the catalogue that is made for the documentation.

Candlesticks follow TA-Lib's functions of the same name: a body is *long* or *short* against the mean body of the ten
bars before, *doji* when under a tenth of the mean range, a shadow is *long* when longer than the body and *very short*
when under a tenth of the mean range; *near* is a fifth and *equal* a twentieth of the mean range of five bars.
Chart patterns are written as the one that falls where a pair mirrors it; shares are of the pattern's height.
"""

from __future__ import annotations

CANDLESTICK_DEFINITIONS = {
    "CDL2CROWS": "a long white bar, then a black one whose body gaps up, then a black one that opens within the second "
    "body and closes within the first",
    "CDL3BLACKCROWS": "three black bars with very short lower shadows, each opening within the body before and closing "
    "lower, the first below the high of a white bar",
    "CDL3INSIDE": "a long body, a short body inside it, and a close beyond the open of the first, on the other side",
    "CDL3LINESTRIKE": "three bars of one colour, each closing further, then one of the other colour that opens beyond "
    "the third close and closes beyond the first open",
    "CDL3OUTSIDE": "a body, a body of the other colour that engulfs it, and a close that goes on in the second's way",
    "CDL3STARSINSOUTH": "a long black bar with a long lower shadow, a smaller black one that holds above its low, and "
    "a short black bar without shadows inside the range of the second",
    "CDL3WHITESOLDIERS": "three white bars with very short upper shadows, each opening within or near the body before "
    "and closing higher, none far shorter than the one before",
    "CDLABANDONEDBABY": "a long body, a doji that gaps away shadows and all, and a body of the other colour that gaps "
    "back and closes well into the first",
    "CDLADVANCEBLOCK": "three white bars with higher closes that weaken: bodies get shorter or upper shadows longer",
    "CDLBELTHOLD": "a long body without a shadow on the side of its open",
    "CDLBREAKAWAY": "a long bar, one of the same colour that gaps on, two more in that direction, then one of the "
    "other colour that closes in the gap",
    "CDLCLOSINGMARUBOZU": "a long body with a very short shadow on the side of its close",
    "CDLCONCEALBABYSWALL": "two black bars without shadows, a black one that gaps down with an upper shadow into the "
    "body before, and a black one that engulfs it, shadows and all",
    "CDLCOUNTERATTACK": "two long bars of opposite colour with equal closes",
    "CDLDARKCLOUDCOVER": "a long white bar, then a black one that opens above its high and closes more than half into "
    "its body",
    "CDLDOJI": "open and close are the same or nearly so",
    "CDLDOJISTAR": "a long body, then a doji that gaps away in the body's direction",
    "CDLDRAGONFLYDOJI": "a doji at the top of its range: hardly an upper shadow, and a lower one",
    "CDLENGULFING": "a body that engulfs the body before, of the other colour; strength 80 where one end is equal",
    "CDLEVENINGDOJISTAR": "a long white bar, a doji that gaps up, and a black bar that closes well into the white body",
    "CDLEVENINGSTAR": "a long white bar, a short body that gaps up, and a black bar that closes well into the white "
    "body",
    "CDLGAPSIDESIDEWHITE": "after a gap, two white bars of about the same size and open side by side beyond it",
    "CDLGRAVESTONEDOJI": "a doji at the bottom of its range: hardly a lower shadow, and an upper one",
    "CDLHAMMER": "a short body at or below the low before, a long lower and a very short upper shadow",
    "CDLHANGINGMAN": "a short body at or above the high before, a long lower and a very short upper shadow",
    "CDLHARAMI": "a long body, then a short one inside it; strength 80 where one end is equal",
    "CDLHARAMICROSS": "a long body, then a doji inside it; strength 80 where one end is equal",
    "CDLHIGHWAVE": "a short body with very long shadows on both sides",
    "CDLHIKKAKE": "an inside bar, then a bar with a lower high and low (or a higher high and low); confirmed when one "
    "of the next three closes past the inside bar on the other side",
    "CDLHIKKAKEMOD": "two inside bars in a row, the second closing near its end, then a false break as in the hikkake",
    "CDLHOMINGPIGEON": "a long black bar, then a short black body inside it",
    "CDLIDENTICAL3CROWS": "three black bars with very short lower shadows, each opening at the close before",
    "CDLINNECK": "a long black bar, then a white one that opens below its low and closes just into its body",
    "CDLINVERTEDHAMMER": "a short body that gaps down, a long upper and a very short lower shadow",
    "CDLKICKING": "two long bodies without shadows, of opposite colours, with a gap between them",
    "CDLKICKINGBYLENGTH": "a kicking whose direction is that of the longer of the two bars",
    "CDLLADDERBOTTOM": "three black bars with lower opens and closes, a black one with an upper shadow, then a white "
    "one that opens above its body and closes above its high",
    "CDLLONGLEGGEDDOJI": "a doji with a long shadow on one side or both",
    "CDLLONGLINE": "a long body with short shadows",
    "CDLMARUBOZU": "a long body with very short shadows on both sides",
    "CDLMATCHINGLOW": "two black bars with equal closes",
    "CDLMATHOLD": "a long white bar, a short black one that gaps up, two short ones that fall back but hold within the "
    "first body, and a white one that closes above them all",
    "CDLMORNINGDOJISTAR": "a long black bar, a doji that gaps down, and a white bar that closes well into the black "
    "body",
    "CDLMORNINGSTAR": "a long black bar, a short body that gaps down, and a white bar that closes well into the black "
    "one",
    "CDLONNECK": "a long black bar, then a white one that opens below its low and closes at that low",
    "CDLPIERCING": "a long black bar, then a long white one that opens below its low and closes more than half into "
    "its body",
    "CDLRICKSHAWMAN": "a doji near the middle of its range, with long shadows on both sides",
    "CDLRISEFALL3METHODS": "a long bar, three short ones against it that stay within its range, and a long one of the "
    "first colour that closes beyond it",
    "CDLSEPARATINGLINES": "a bar, then one of the other colour that opens at the same price, long and without a shadow "
    "on the side of its open",
    "CDLSHOOTINGSTAR": "a short body that gaps up, a long upper and a very short lower shadow",
    "CDLSHORTLINE": "a short body with short shadows",
    "CDLSPINNINGTOP": "a short body with shadows longer than it on both sides",
    "CDLSTALLEDPATTERN": "two long white bars with higher closes, then a short white body at the top of the second",
    "CDLSTICKSANDWICH": "a black bar, a white one that trades above its close, and a black one with a close equal to "
    "the first",
    "CDLTAKURI": "a doji at the top of its range with a very long lower shadow",
    "CDLTASUKIGAP": "a gap, a bar in its direction, then one of the other colour and about the same size that closes "
    "in the gap without filling it",
    "CDLTHRUSTING": "a long black bar, then a white one that opens below its low and closes into its body, under the "
    "middle",
    "CDLTRISTAR": "three doji in a row, the middle one gapping away",
    "CDLUNIQUE3RIVER": "a long black bar, a black one inside its body with a lower low, then a short white one below "
    "it",
    "CDLUPSIDEGAP2CROWS": "a long white bar, a short black one that gaps up, and a black one that engulfs it and "
    "closes above the first",
    "CDLXSIDEGAP3METHODS": "two bars of one colour with a gap between them, then one of the other colour from the "
    "second body into the first, which closes the gap",
}

_DOUBLE = "two extremes no further apart than 0.15 of the height, after a move from beyond the valley between them"
_TRIPLE = "three extremes within 0.15 of the height, the two between them within 0.35"
_SHOULDERS = (
    "a head at least 0.15 beyond both shoulders, shoulders within 0.35 of each other and at least 0.2 beyond the "
    "neckline, which runs through the two extremes between and may slope up to 0.4"
)
_PEAKS = "three extremes in a row, each at least 0.1 of the height less far than the one before"
_TWO_LINES = "two lines through five pivots that alternate"
CHART_DEFINITIONS = {
    "double_top": _DOUBLE,
    "double_bottom": _DOUBLE,
    "triple_top": _TRIPLE,
    "triple_bottom": _TRIPLE,
    "head_and_shoulders": _SHOULDERS,
    "inverse_head_and_shoulders": _SHOULDERS,
    "three_falling_peaks": _PEAKS,
    "three_rising_valleys": _PEAKS,
    "descending_triangle": f"{_TWO_LINES}: a flat floor and a falling lid",
    "ascending_triangle": f"{_TWO_LINES}: a flat lid and a rising floor",
    "symmetrical_triangle": f"{_TWO_LINES}: a falling lid and a rising floor",
    "rising_wedge": f"{_TWO_LINES}: both rise, the floor faster",
    "falling_wedge": f"{_TWO_LINES}: both fall, the lid faster",
    "bear_flag": "a steep fall (the pole), then a drift against it between parallel lines, at most half as wide as the "
    "pole is high, that takes back at most 0.6 of it",
    "bull_flag": "a steep rise (the pole), then a drift against it between parallel lines, at most half as wide as the "
    "pole is high, that takes back at most 0.6 of it",
    "bear_pennant": "a steep fall (the pole), then a range that closes to 0.65 of its width or less and takes back at "
    "most 0.6 of it",
    "bull_pennant": "a steep rise (the pole), then a range that closes to 0.65 of its width or less and takes back at "
    "most 0.6 of it",
    "inverse_cup_and_handle": "a dome of at least 20 bars that a parabola fits with R² of 0.7 or more, edges within "
    "0.2 of each other, and a rally of 0.1 to 0.5 of its height, at most a third as long",
    "cup_and_handle": "a bowl of at least 20 bars that a parabola fits with R² of 0.7 or more, edges within 0.2 of "
    "each other, and a dip of 0.1 to 0.5 of its depth, at most a third as long",
    "rounding_top": "a dome of at least 25 bars between two lows within 0.35 of each other, fitted by a parabola with "
    "R² of 0.75 or more",
    "rounding_bottom": "a bowl of at least 25 bars between two highs within 0.35 of each other, fitted by a parabola "
    "with R² of 0.75 or more",
    "diamond_top": "six pivots whose swings widen, then narrow, entered from below",
    "diamond_bottom": "six pivots whose swings widen, then narrow, entered from above",
    "rectangle_top": f"{_TWO_LINES}, both flat, entered from below",
    "rectangle_bottom": f"{_TWO_LINES}, both flat, entered from above",
    "broadening_top": f"{_TWO_LINES}: a rising lid and a falling floor, entered from below",
    "broadening_bottom": f"{_TWO_LINES}: a rising lid and a falling floor, entered from above",
    "falling_channel": f"{_TWO_LINES} and fall side by side",
    "rising_channel": f"{_TWO_LINES} and rise side by side",
}
