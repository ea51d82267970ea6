"""An ARPA file whose costs are easy to work out by hand."""

ARPA = """a header that is passed over

\\data\\
ngram 1=4
ngram 2=3
ngram 3=1

\\1-grams:
-99\t<s> -0.5
-1.5 </s>
-1.25e0\ta\t-.25
-2\tb

\\2-grams:
-0.5\t<s> a\t0
-0.25\ta b\t0.5
-0.75\ta </s>

\\3-grams:
-0.125\t<s> a b

\\end\\
"""
