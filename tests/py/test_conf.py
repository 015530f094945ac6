"""The configuration language: a row for each rule, then what one might mistake."""

from datetime import UTC, datetime
from typing import Any

import pytest
from trees import EOL, ESCAPES, LIST_END, MAP_END, expect, expect_error

DATE = datetime(2016, 5, 4, 18, 53, 41, tzinfo=UTC)

ACCEPTED: list[tuple[str | bytes, dict[str, Any]]] = [
    # separators
    ("foo=1", {"foo": 1}),
    ("foo:1", {"foo": 1}),
    ("foo 1", {"foo": 1}),
    ("foo = 1", {"foo": 1}),
    ("foo : 1", {"foo": 1}),
    ("a\t1", {"a": 1}),
    ("a==1", {"a": "=1"}),
    ("a:=1", {"a": "=1"}),
    ("a=:1", {"a": ":1"}),
    # newline before the value
    ("a\n=1", {"a": 1}),
    ("a\n1", {"a": 1}),
    ("a \n\n : 1", {"a": 1}),
    ("a\n{\nb\n1\n}", {"a": {"b": 1}}),
    ("a {b=\n1}", {"a": {"b": 1}}),
    ("a {b\n=\n1}", {"a": {"b": 1}}),
    # terminators
    ("foo=1;bar=2", {"foo": 1, "bar": 2}),
    ("foo=1 ; bar=2 ;", {"foo": 1, "bar": 2}),
    ("foo=1\nbar=2\n", {"foo": 1, "bar": 2}),
    ("foo=1\rbar=2\r", {"foo": 1, "bar": 2}),
    ("foo=x\r\n\r\nbar=2\r\n", {"foo": "x", "bar": 2}),
    ("a=1 # c\nb=2 // c\n# c\n// c", {"a": 1, "b": 2}),
    # comments
    ("#", {}),
    ("//", {}),
    ("# a=1\rb=2", {"b": 2}),
    ("a=b#c", {"a": "b#c"}),
    ("a=b//c", {"a": "b//c"}),
    ("a=b #c", {"a": "b"}),
    ("a=b //c", {"a": "b"}),
    ("a=1#c", {"a": 1}),
    ("a=1//c", {"a": 1}),
    ("a=1.5#c", {"a": 1.5}),
    ('a="x"#c', {"a": "x"}),
    ("a={b=1}#c", {"a": {"b": 1}}),
    ("a={b=1}//c", {"a": {"b": 1}}),
    ("a={#c\nb=1#c\n}", {"a": {"b": 1}}),
    ("a=[1]#c", {"a": [1]}),
    ("a #c", {"a": "#c"}),
    ("a=//c", {"a": "//c"}),
    ("a=/etc/x", {"a": "/etc/x"}),
    # doubled keys, and keys that differ in case
    ("a=1\nb=2\na=3", {"a": 3, "b": 2}),
    ("a=1\nA=2", {"a": 1, "A": 2}),
    # maps open
    ("a {b=1}", {"a": {"b": 1}}),
    ("a={b=1}", {"a": {"b": 1}}),
    ("a{b=1}", {"a": {"b": 1}}),
    ("a:{b:{c:{}}}", {"a": {"b": {"c": {}}}}),
    # nothing in it
    ("", {}),
    (" \t\r\n", {}),
    # a file that is one JSON object
    ('{"a":1}', {"a": 1}),
    ("{}", {}),
    ("\n# c\n{a=1; b=2\nc=3,}\n# c\n", {"a": 1, "b": 2, "c": 3}),
    (
        '{\n  "port": 4222,\n  "users": [\n    {"user": "u", "on": true},\n'
        '    {"limit": -1.5}\n  ],\n  "tls": {"verify": false}\n}\n',
        {
            "port": 4222,
            "users": [{"user": "u", "on": True}, {"limit": -1.5}],
            "tls": {"verify": False},
        },
    ),
    # keys
    ("a.b-c_d/e=1", {"a.b-c_d/e": 1}),
    ("é=1", {"é": 1}),
    ("1=2", {"1": 2}),
    ("a\u00a0=1", {"a\u00a0": 1}),
    ("a\"b'=1", {"a\"b'": 1}),
    ("'a b'=1", {"a b": 1}),
    ('"a=:{"=1', {"a=:{": 1}),
    ("'a'\n=1", {"a": 1}),
    ("'a'1", {"a": 1}),
    ("''=1", {"": 1}),
    ("$a=1", {"$a": 1}),
    ("\ufeffa=1", {"a": 1}),
    (b"\xef\xbb\xbf{a=1}", {"a": 1}),
    # bare strings
    ("a=x;b=y", {"a": "x", "b": "y"}),
    ("a=[x,y]", {"a": ["x", "y"]}),
    ("a={b=x}", {"a": {"b": "x"}}),
    ("a={b=x}\n", {"a": {"b": "x"}}),
    ("a={b=x }", {"a": {"b": "x"}}),
    ("a=x}y", {"a": "x}y"}),
    ("a=}", {"a": "}"}),
    ("a={b=[x}y]}", {"a": {"b": ["x}y"]}}),
    ('a=x"y', {"a": 'x"y'}),
    ("a=x{y(z[", {"a": "x{y(z["}),
    ("a=x'", {"a": "x"}),
    ("a={b=x'}", {"a": {"b": "x"}}),
    ("a=é", {"a": "é"}),
    ("a=+5", {"a": "+5"}),
    ("a=x\\ty", {"a": "x\\ty"}),
    (r"a=\n\r\"\\\x4F", {"a": r"\n\r\"\\\x4F"}),
    ("a=*", {"a": "*"}),
    ("a=_5", {"a": "_5"}),
    # quoted strings
    ("a='x'", {"a": "x"}),
    ('a="x"', {"a": "x"}),
    ("a=''", {"a": ""}),
    ('a="x\ny"', {"a": "x\ny"}),
    (r'a="x\ny"', {"a": r"x\ny"}),
    (r'a="x\q\"', {"a": r"x\q" + "\\"}),
    ("a='\"#//;,{}[]()'", {"a": '"#//;,{}[]()'}),
    ("a='5'", {"a": "5"}),
    ("a='true'", {"a": "true"}),
    ("a='$b'", {"a": "$b"}),
    ("a='x';b=1", {"a": "x", "b": 1}),
    # integers
    ("a=0", {"a": 0}),
    ("a=-0", {"a": 0}),
    ("a=-1", {"a": -1}),
    ("a=007", {"a": 7}),
    ("a=" + "0" * 5000 + "7", {"a": 7}),
    ("a=9223372036854775807", {"a": 2**63 - 1}),
    ("a=-9223372036854775808", {"a": -(2**63)}),
    ("a={b=1}", {"a": {"b": 1}}),
    # their suffixes
    *((f"a=1{end}", {"a": 1000}) for end in ("k", "K")),
    *((f"a=1{end}", {"a": 2**10}) for end in ("kb", "KB", "kB", "ki", "kib", "KiB")),
    ("a=3m", {"a": 3_000_000}),
    *((f"a=3{end}", {"a": 3 * 2**20}) for end in ("mb", "mi", "mib", "MiB")),
    ("a=3g", {"a": 3_000_000_000}),
    *((f"a=3{end}", {"a": 3 * 2**30}) for end in ("gb", "gi", "gib", "GB")),
    ("a=3t", {"a": 3 * 10**12}),
    *((f"a=3{end}", {"a": 3 * 2**40}) for end in ("tb", "ti", "tib")),
    ("a=3p", {"a": 3 * 10**15}),
    *((f"a=3{end}", {"a": 3 * 2**50}) for end in ("pb", "pi", "pib")),
    ("a=3e", {"a": 3 * 10**18}),
    *((f"a=3{end}", {"a": 3 * 2**60}) for end in ("eb", "ei", "eib")),
    ("a=-5k", {"a": -5000}),
    ("a=5k#c", {"a": 5000}),
    ("a={b=5k}", {"a": {"b": 5000}}),
    ("a=[5k,1MB]", {"a": [5000, 2**20]}),
    ("a=7e", {"a": 7 * 10**18}),
    # text that begins with digits
    ("a=10s", {"a": "10s"}),
    ("a=2h45m", {"a": "2h45m"}),
    ("a={b=500ms}", {"a": {"b": "500ms"}}),
    ("a=1node-x:y", {"a": "1node-x:y"}),
    ("a=0x10", {"a": "0x10"}),
    ("a=1kx", {"a": "1kx"}),
    ("a=1_000", {"a": "1_000"}),
    ("a=5é", {"a": "5é"}),
    ("a=٣.5x", {"a": "٣.5x"}),
    ("a=5\u212a", {"a": "5\u212a"}),  # looks like K, but is the sign for kelvins
    # floats
    ("a=1.5", {"a": 1.5}),
    ("a=-1.5", {"a": -1.5}),
    ("a=-0.0", {"a": -0.0}),
    ("a=0.1", {"a": 0.1}),
    ("a={b=1.5}", {"a": {"b": 1.5}}),
    ("a=1." + "3" * 5000, {"a": 1.3333333333333333}),
    # addresses
    ("a=127.0.0.1", {"a": "127.0.0.1"}),
    ("a=127.0.0.1:4222", {"a": "127.0.0.1:4222"}),
    ("a=1.5.5", {"a": "1.5.5"}),
    ("a=1.5.", {"a": "1.5."}),
    ("a={b=1.2.3.4:5}", {"a": {"b": "1.2.3.4:5"}}),
    # booleans
    *((f"a={word}", {"a": True}) for word in ("true", "TRUE", "True", "yes", "oN")),
    *((f"a={word}", {"a": False}) for word in ("false", "FALSE", "No", "off", "OFF")),
    ("a={b:true}", {"a": {"b": True}}),
    ("a={b:true }", {"a": {"b": True}}),
    ("a=[true,no]", {"a": [True, False]}),
    ("a=true;b=on", {"a": True, "b": True}),
    ("a=truex", {"a": "truex"}),
    ("a=true#c", {"a": "true#c"}),
    # dates
    ("a=2016-05-04T18:53:41Z", {"a": DATE}),
    ("a=[2016-05-04T18:53:41Z]", {"a": [DATE]}),
    # arrays
    ("a=[]", {"a": []}),
    ("a [1]", {"a": [1]}),
    ("a=[1,2,3]", {"a": [1, 2, 3]}),
    ("a=[1,2,3,]", {"a": [1, 2, 3]}),
    ("a=[1\n2\r3\r\n]", {"a": [1, 2, 3]}),
    ("a=[\n1,\n2\n]", {"a": [1, 2]}),
    ("a=[[1],[],[[x]]]", {"a": [[1], [], [["x"]]]}),
    ("a=[1,x,'y',2.5,{b=1},no]", {"a": [1, "x", "y", 2.5, {"b": 1}, False]}),
    ("a=[ # c\n1 # c\n2 // c\n// c\n]", {"a": [1, 2]}),
    ("a=[x#c\n]", {"a": ["x#c"]}),
    ("a=[=1]", {"a": ["=1"]}),
    # maps
    ("a={}", {"a": {}}),
    ("a={b=1, c=2}", {"a": {"b": 1, "c": 2}}),
    ("a={b=1; c=2\nd=3}", {"a": {"b": 1, "c": 2, "d": 3}}),
    ("a={b=1,}", {"a": {"b": 1}}),
    ("a={b=1;}", {"a": {"b": 1}}),
    ("a={b={c=1}}", {"a": {"b": {"c": 1}}}),
    ("a={b=1};c=2", {"a": {"b": 1}, "c": 2}),
    ("a={b{c=x}}", {"a": {"b": {"c": "x"}}}),
    # blocks
    ("a=(\nx\n)\n", {"a": "\nx\n"}),
    ("a=(x\n)", {"a": "x\n"}),
    ("a=(\n)\n", {"a": "\n"}),
    ("a=(x\n )\n)y\n)\nb=1", {"a": "x\n )\n)y\n", "b": 1}),
    ("a=(\r\nx\r\n)\r\nb=1", {"a": "\r\nx\r\n", "b": 1}),
    ("a=(x\r)\rb=1", {"a": "x\r", "b": 1}),
    ("a=[(\nx\n)\n]", {"a": ["\nx\n"]}),
    ("a={b=(\nx\n)\n}", {"a": {"b": "\nx\n"}}),
    # what stands without quotes in files of today
    ("a=$2a$11$xx/yy.zz", {"a": "$2a$11$xx/yy.zz"}),
    ("a=$2b$11$xx/yy.zz", {"a": "$2b$11$xx/yy.zz"}),
    ("a=$2y$11$xx/yy.zz", {"a": "$2y$11$xx/yy.zz"}),
    ("a=nats-route://u:p@h:1", {"a": "nats-route://u:p@h:1"}),
    ("a=[nats-route://u:p@h:1\n]", {"a": ["nats-route://u:p@h:1"]}),
    ("a=foo.>", {"a": "foo.>"}),
    # an ordinary key where a separator or quotes say so
    ("include=x", {"include": "x"}),
    ("include: x", {"include": "x"}),
    ("include = x", {"include": "x"}),
    ("'include' x", {"include": "x"}),
    ("includes x", {"includes": "x"}),
]

REFUSED: list[tuple[str | bytes, str]] = [
    # after a top-level value
    ("foo=1 bar=2", f"1:7: {EOL}'b' instead."),
    ("foo=1,bar=2", f"1:6: {EOL}',' instead."),
    ("foo=x,", f"1:6: {EOL}',' instead."),
    ("foo=x]", f"1:6: {EOL}']' instead."),
    ("foo=x y", f"1:7: {EOL}'y' instead."),
    ("a=1 / c", f"1:5: {EOL}'/' instead."),
    ("a=1 /\n", f"1:5: {EOL}'/' instead."),
    ("a=1/2", f"1:4: {EOL}'/' instead."),
    ('a="x"y', f"1:6: {EOL}'y' instead."),
    ("a='x' 'y'", f"1:7: {EOL}''' instead."),
    ("a=x'y", f"1:5: {EOL}'y' instead."),
    ("a={b=1}c=2", f"1:8: {EOL}'c' instead."),
    ("a=[1]b", f"1:6: {EOL}'b' instead."),
    ("a=1\x0bb=2", f"1:4: {EOL}'\\x0b' instead."),
    ("a=1\u00a0", f"1:4: {EOL}'\\xa0' instead."),
    ("a = = 1", f"1:7: {EOL}'1' instead."),
    ("a=# c", f"1:5: {EOL}'c' instead."),
    # keys
    ("=1", "1:1: Unexpected key separator '='"),
    ("\n\n  :1", "3:3: Unexpected key separator ':'"),
    ("a {=1}", "1:4: Unexpected key separator '='."),
    ("a {\n:1}", "2:1: Unexpected key separator ':'."),
    ("a #c\n=1", "2:1: Unexpected key separator '='"),
    *((f"a=1\n{c}", f"2:1: Expected key but found '{c}'") for c in "{}[]();,"),
    ("/x=1", "1:1: Expected key but found '/'"),
    ("a=1;;b=2", "1:5: Expected key but found ';'"),
    ("a={;}", "1:4: Expected key but found ';'"),
    ("a={b=1;;c=2}", "1:8: Expected key but found ';'"),
    ("a={[1]}", "1:4: Expected key but found '['"),
    ("{a=1}b", "1:6: Expected EOF, but got 'b'."),
    ("{a=1}\n{", "2:1: Expected EOF, but got '{'."),
    # values that are missing
    ("a:\n", "1:3: Expected value but found new line"),
    ("a=\n1", "1:3: Expected value but found new line"),
    ("a\n\n=\r1", "3:2: Expected value but found new line"),
    ("a=", "1:3: Expected value but found 'EOF'"),
    ("a ", "1:3: Expected value but found 'EOF'"),
    ("a\n", "2:1: Expected value but found 'EOF'"),
    ("'a'", "1:4: Expected value but found 'EOF'"),
    ("a=;", "1:3: Expected value but found ';'"),
    ("a=,", "1:3: Expected value but found ','"),
    ("a=]", "1:3: Expected value but found ']'"),
    ("a {b=}", "1:6: Expected value but found '}'"),
    ("a {b}", "1:5: Expected value but found '}'"),
    ("{b}", "1:3: Expected value but found '}'"),
    ("a {b=;c=1}", "1:6: Expected value but found ';'"),
    ("a {b=]}", "1:6: Expected value but found ']'"),
    ("a=[;]", "1:4: Expected value but found ';'"),
    # arrays
    ("a=[1 2 3]", f"1:6: {LIST_END}'2' instead."),
    ("a=[1;2]", f"1:5: {LIST_END}';' instead."),
    ("a=['x'y]", f"1:7: {LIST_END}'y' instead."),
    ("a={b=[1}]", f"1:8: {LIST_END}'}}' instead."),
    ("a=[1 / 2]", f"1:6: {LIST_END}'/' instead."),
    ("a=[,1]", "1:4: Unexpected array value terminator ','."),
    ("a=[1,,2]", "1:6: Unexpected array value terminator ','."),
    ("a=[1\n,2]", "2:1: Unexpected array value terminator ','."),
    # maps
    ("a={b=1 c=2}", f"1:8: {MAP_END}'c' instead."),
    ("a={b='x'y}", f"1:9: {MAP_END}'y' instead."),
    ("a={b=1]", f"1:7: {MAP_END}']' instead."),
    ("a={b=1 /}", f"1:8: {MAP_END}'/' instead."),
    ("{a=1 b=2}", f"1:6: {MAP_END}'b' instead."),
    ("a={b=,}", '1:6: Unexpected map value terminator ",".'),
    ("a={,}", '1:4: Unexpected map value terminator ",".'),
    ("a={b=1,,c=2}", '1:8: Unexpected map value terminator ",".'),
    ("a={b=1\n,c=2}", '2:1: Unexpected map value terminator ",".'),
    # escapes
    (r"a=x\qy", f"1:5: Invalid escape character 'q'. {ESCAPES}"),
    ("a=[x\\\n]", f"1:6: Invalid escape character '\\n'. {ESCAPES}"),
    ("a=x\\", f"1:5: Invalid escape character 'EOF'. {ESCAPES}"),
    (r"a={b=\'}", f"1:7: Invalid escape character '''. {ESCAPES}"),
    (
        r"a=x\xgg",
        r"1:6: Expected two hexadecimal digits after '\x', but got 'g' instead.",
    ),
    (
        r"a=x\x4g",
        r"1:7: Expected two hexadecimal digits after '\x', but got 'g' instead.",
    ),
    (
        r"a=x\x4",
        r"1:7: Expected two hexadecimal digits after '\x', but got 'EOF' instead.",
    ),
    # numbers
    ("a=.5", "1:3: Floats must start with a digit"),
    ("a=.", "1:3: Floats must start with a digit"),
    ("a=-.5", "1:4: Floats must start with a digit, not '.'."),
    ("a=1.", "1:5: Floats must have a digit after the '.', but got 'EOF' instead."),
    ("a=1.\n", "1:5: Floats must have a digit after the '.', but got '\\n' instead."),
    ("a=1..2", "1:5: Floats must have a digit after the '.', but got '.' instead."),
    ("a=-x", "1:4: Expected a digit but got 'x'."),
    ("a=-", "1:4: Expected a digit but got 'EOF'."),
    ("a=--1", "1:4: Expected a digit but got '-'."),
    ("a=1.5e3", f"1:6: {EOL}'e' instead."),
    ("a=1.5k", f"1:6: {EOL}'k' instead."),
    ("a=1e5", f"1:5: {EOL}'5' instead."),
    ("a=1e400", f"1:5: {EOL}'4' instead."),
    ("a=1 k", f"1:5: {EOL}'k' instead."),
    ("a=5%", f"1:4: {EOL}'%' instead."),
    ("a=5'", f"1:4: {EOL}''' instead."),
    ("a=127.0.0.1/8", f"1:12: {EOL}'/' instead."),
    ("a=1.2.3.4x", f"1:10: {EOL}'x' instead."),
    ("a=1.5:80", f"1:6: {EOL}':' instead."),
    ("a=5٣", f"1:4: {EOL}'٣' instead."),  # no digit of ours
    *(
        (f"a={number}", f"1:3: Integer '{number}' is out of the range.")
        for number in (
            "9223372036854775808",
            "-9223372036854775809",
            "10000000000000000000",  # 20 digits
            "9223372036854775807k",
            "8eib",
            "-9ei",
            "10e",
        )
    ),
    ("a=" + "9" * 9000, "1:3: Integer '" + "9" * 40 + "...' is out of the range."),
    ("\na=" + "9" * 400 + ".5", f"2:3: Float '{'9' * 40}...' is out of the range."),
    # dates
    ("a=16-05-04", "1:5: All ISO8601 dates must be in full Zulu form."),
    ("a=12345-05", "1:8: All ISO8601 dates must be in full Zulu form."),
    ("a=1-a", "1:4: All ISO8601 dates must be in full Zulu form."),
    ("a=2016-0x", "1:9: Expected digit in ISO8601 datetime, but found 'x' instead."),
    (
        "a=2016-05-04",
        "1:13: Expected 'T' in ISO8601 datetime, but found 'EOF' instead.",
    ),
    ("a=2016-05:", "1:10: Expected '-' in ISO8601 datetime, but found ':' instead."),
    (
        "a=2016-05-04T18:53:41+",
        "1:22: Expected 'Z' in ISO8601 datetime, but found '+' instead.",
    ),
    ("a=2016-05-04T18:53:41Zx", f"1:23: {EOL}'x' instead."),
    ("a=-2016-05-04T18:53:41Z", f"1:8: {EOL}'-' instead."),
    *(
        (f"a={date}", f"1:3: Expected Zulu formatted DateTime, but got '{date}'.")
        for date in (
            "2016-13-04T18:53:41Z",
            "2015-02-29T00:00:00Z",
            "2016-05-04T24:00:00Z",
            "2016-05-04T18:53:60Z",
            "0000-01-01T00:00:00Z",
        )
    ),
    # characters
    (b"a=1\nb=x\0y", "2:4: NUL characters are not allowed"),
    (b"a='\0'", "1:4: NUL characters are not allowed"),
    (b"# \0", "1:3: NUL characters are not allowed"),
    (b"a=1\n\xc3\xa9=\xff", "2:3: not valid UTF-8"),
    (b"\xff\xfea\0=\0", "1:1: not valid UTF-8"),
    (b"a=\xc3", "1:3: not valid UTF-8"),
    (b"a=\xed\xa0\x80", "1:3: not valid UTF-8"),
    ("a=\ud800", "1:3: not valid UTF-8"),
    ("é=é é", f"1:5: {EOL}'é' instead."),
    # include, without a file
    ("include", "1:8: Unexpected EOF."),
    ("include ", "1:9: Expected include value but found 'EOF'"),
    ("include\nx", "1:8: Expected include value but found new line"),
    *(
        (f"include {c}x", f"1:9: Expected include value but found '{c}'")
        for c in "{}[](),;"
    ),
    ("a {include}", "1:11: Expected include value but found '}'"),
    ("INCLUDE 'x", "1:11: Unexpected EOF. The ''' of line 1, column 9 is not closed."),
]

# Where the original never ended, and what else is cut off.
CUT_OFF: list[tuple[str, str, str]] = [
    # the text, LINE:COLUMN: what is expected, what is not closed
    ("a", "1:2: Unexpected EOF.", ""),
    ("foo=1\n\nbar", "3:4: Unexpected EOF.", ""),
    ("a[1]", "1:5: Unexpected EOF.", ""),
    ("/", "1:2: Unexpected EOF.", ""),
    ("a=1\n/", "2:2: Unexpected EOF.", ""),
    ("'a", "1:3: Unexpected EOF.", "' of line 1, column 1"),
    ('"a\n', "2:1: Unexpected EOF.", '" of line 1, column 1'),
    ("a='x\n\n", "3:1: Unexpected EOF.", "' of line 1, column 3"),
    ('a="x', "1:5: Unexpected EOF.", '" of line 1, column 3'),
    ("a={b='", "1:7: Unexpected EOF.", "' of line 1, column 6"),
    ("a=(x", "1:5: Unexpected EOF.", "( of line 1, column 3"),
    ("a=()", "1:5: Unexpected EOF.", "( of line 1, column 3"),
    ("a=(\n )\nb=1", "3:4: Unexpected EOF.", "( of line 1, column 3"),
    ("{", "1:2: Unexpected EOF.", "{ of line 1, column 1"),
    ("a={", "1:4: Unexpected EOF.", "{ of line 1, column 3"),
    ("a={b", "1:5: Unexpected EOF.", "{ of line 1, column 3"),
    ("a={\nb={c=1}\n", "3:1: Unexpected EOF.", "{ of line 1, column 3"),
    ("a={b=1,", "1:8: Unexpected EOF.", "{ of line 1, column 3"),
    ("a={/", "1:5: Unexpected EOF.", "{ of line 1, column 3"),
    ("a={b ", "1:6: Expected value but found 'EOF'.", "{ of line 1, column 3"),
    ("a={b=", "1:6: Expected value but found 'EOF'.", "{ of line 1, column 3"),
    ("a={b=x", f"1:7: {MAP_END}'EOF' instead.", "{ of line 1, column 3"),
    ("a={b={c=1}", f"1:11: {MAP_END}'EOF' instead.", "{ of line 1, column 3"),
    ("a={b={", "1:7: Unexpected EOF.", "{ of line 1, column 6"),
    ("a [1", f"1:5: {LIST_END}'EOF' instead.", "[ of line 1, column 3"),
    ("a=[", f"1:4: {LIST_END}'EOF' instead.", "[ of line 1, column 3"),
    ("a=[1,", f"1:6: {LIST_END}'EOF' instead.", "[ of line 1, column 3"),
    ("a=[1 #", f"1:7: {LIST_END}'EOF' instead.", "[ of line 1, column 3"),
    ("a=[[1]\n", f"2:1: {LIST_END}'EOF' instead.", "[ of line 1, column 3"),
]


@pytest.mark.parametrize(("text", "expected"), ACCEPTED)
def test_what_is_accepted(text: str | bytes, expected: dict[str, Any]) -> None:
    expect(text, expected)


@pytest.mark.parametrize(("text", "expected"), REFUSED)
def test_what_is_refused(text: str | bytes, expected: str) -> None:
    expect_error(text, expected)


@pytest.mark.parametrize(("text", "expected", "opened"), CUT_OFF)
def test_what_is_cut_off(text: str, expected: str, opened: str) -> None:
    if opened:
        expected += f" The '{opened[0]}'{opened[1:]} is not closed."
    expect_error(text, expected)
