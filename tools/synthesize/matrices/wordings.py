"""Sentences of the chain of thought: ten wordings for each kind of rule, several for the rest.

Each names the attribute and ends with the value that the rule gives, soon after what the value follows from: a small
model looks up one by the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from errata.tools.synthesize.matrices.rules import Kind

RULES: Mapping[Kind, tuple[str, ...]] = {
    "constant": (
        "{What} stays the same along each row: after {seen} comes {value}.",
        "Along a row {what} does not change, so the last row, with {seen}, goes on with {value}.",
        "In every row {what} is constant; the last row shows {seen}, hence {value}.",
        "{What} never changes within a row. The last row has {seen}, which leaves {value}.",
        "No row changes {what}, therefore {seen} is followed by {value}.",
        "Each row keeps {what} as it is, and after {seen} it must be {value}.",
        "The rule for {what} is constancy: {seen} in the last row gives {value}.",
        "{What} is one and the same in all panels of a row; with {seen} that means {value}.",
        "Look along the rows: {what} is repeated. The last row repeats {seen}, so {value}.",
        "Since {what} is the same from left to right, {seen} asks for {value}.",
    ),
    "progression": (
        "{What} {change}: after {seen} comes {value}.",
        "In each row {what} {change}, so the last row, with {seen}, goes on with {value}.",
        "From left to right {what} {change}; the last row shows {seen}, hence {value}.",
        "{What} follows a progression. It {change}, which takes {seen} to {value}.",
        "Every row has the same step: {what} {change}, therefore {seen} is followed by {value}.",
        "There is a steady change, as {what} {change}, and after {seen} it must be {value}.",
        "The rule for {what} is a progression: it {change}, and {seen} in the last row gives {value}.",
        "All rows agree that {what} {change}; with {seen} that means {value}.",
        "Look along the rows: {what} {change}. The last row has got to {seen}, so next is {value}.",
        "Since {what} {change}, {seen} asks for {value}.",
    ),
    "arithmetic": (
        "{What} {change}: {seen} gives {value}.",
        "In each row {what} {change}, so the last row, with {seen}, ends with {value}.",
        "From left to right {what} is reckoned: it {change}; the last row shows {seen}, hence {value}.",
        "{What} follows arithmetic. It {change}, which makes {value} out of {seen}: {value}.",
        "Every row is a small sum: {what} {change}, therefore {seen} yields {value}.",
        "The first panels decide the last one, as {what} {change}, and {seen} comes to {value}.",
        "The rule for {what} is arithmetic: it {change}, and {seen} in the last row gives {value}.",
        "All rows agree that {what} {change}; with {seen} that means {value}.",
        "Look along the rows: {what} {change}. The last row has {seen}, so it ends with {value}.",
        "Since {what} {change}, {seen} asks for {value}.",
    ),
    "distribute": (
        "{What} {change}, namely {all}: the last row has {seen} and lacks {value}.",
        "In each row {what} is one of {all}, so the last row, with {seen}, still needs {value}.",
        "Every row shares out {all} as {what}; the last row shows {seen}, hence {value}.",
        "{What} is distributed. It {change}, namely {all}, and next to {seen} only {value} is left.",
        "No row repeats {what}, all rows use {all}, therefore {seen} is completed by {value}.",
        "The values {all} of {what} come once in each row, and with {seen} there must be {value}.",
        "The rule for {what} is distribution of {all}: {seen} in the last row leaves {value}.",
        "All rows agree that {what} {change}: {all}; without {seen} that means {value}.",
        "Look along the rows: {what} {change}. Of {all} the last row has {seen}, so it lacks {value}.",
        "Since {what} is {all} in some order, {seen} asks for {value}.",
    ),
}
SEEN = (
    "{What}: row 1 has {first}; row 2 has {second}; row 3 has {last}.",
    "In row 1 {what} is {first}, in row 2 {second}, in row 3 {last}.",
    "Reading {what} row by row gives {first}, then {second}, then {last}.",
    "{What} reads {first} in the first row, {second} in the second and {last} in the third.",
)
NOISE = (
    "{What} differs from object to object and follows no rule.",
    "There is no rule for {what}, since it varies within a panel.",
    "{What} varies inside single panels, so it can be ignored.",
)
CONCLUSION = (
    "So the missing panel has {everything}.",
    "The missing panel therefore shows {everything}.",
    "All rules together ask for {everything}.",
    "Hence the answer must have {everything}.",
)
AGREEING = "{What} fits in {candidates}."
