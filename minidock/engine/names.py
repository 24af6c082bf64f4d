# SPDX-License-Identifier: Apache-2.0
"""Names for containers that were given none: an adjective and somebody who computed."""

import os

_ADJECTIVES = """
able agile amber ample apt avid awake balmy blithe bold bonny brave breezy bright brisk calm
candid cheery chipper civil clear clever cosy crisp curious daring dapper deft eager earnest
easy elated fair fancy fearless fervent festive fine firm fleet fond frank fresh gallant gentle
gifted glad gleeful golden grand hale handy happy hardy hearty honest hopeful humble ideal
jaunty jolly jovial joyful keen kind lively loyal lucid lucky mellow merry mighty mirthful
modest neat nimble noble open patient peppy placid plucky polite prime proud quick quiet radiant
ready robust rosy sage serene sharp shiny silent sincere sleek smart snappy snug solid spry
stable steady stoic sunny sure swift tender thrifty tidy tranquil trim true trusty upbeat
valiant vivid warm wise witty worthy zany zesty
"""
_PEOPLE = """
abel adleman aiken allen babbage backus bardeen bartik bell berners blackwell blum boole booth
brattain brooks burks cantor cerf cholesky church clarke cocke codd cook corbato curry dahl
diffie dijkstra dirac easley eckert engelbart erdos euclid euler fano fermat feynman floyd
galois gauss germain godel goldberg goldwasser gosper gray hamilton hamming hedy hellman hilbert
hoare holberton hopper huffman iverson jacquard jennings johnson kahan karp kay kernighan
khwarizmi kilburn kleene knuth kolmogorov lamarr lamport lampson leibniz lichterman liskov
lovelace mauchly mccarthy meltzer merkle milner minsky moore napier naur newell noether nygaard
ousterhout pascal peirce perlis perlman postel rabin ramanujan reed ritchie rivest robinson
sammet scott shamir shannon shaw shockley sifakis simon spence stallman steele stibitz
stroustrup sutherland tarjan thompson turing ullman vaughan viterbi wegner wilkes wilkinson wing
wirth yao zuse
"""


def random_name() -> str:
    """Return a name such as ``keen_lovelace``, one of some fifteen thousand."""
    adjectives, people = _ADJECTIVES.split(), _PEOPLE.split()
    rest, which = divmod(int.from_bytes(os.urandom(4), "big"), len(adjectives))
    return f"{adjectives[which]}_{people[rest % len(people)]}"
