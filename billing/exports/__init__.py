"""The ledger as files: streamed while somebody waits, or written in the background with a manifest.

columns     what can be in an export, and how PostgreSQL writes it
options     what is asked for: format, columns, and how people's programs want it
streams     CSV and JSON Lines, in blocks of bytes
workbooks   XLSX
manifests   what an export says of itself, signed
writing     a file with its manifest
jobs        exports in the background
proofs      whether a file is as it was exported
"""
