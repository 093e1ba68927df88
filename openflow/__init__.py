"""The pipeline as data: fields, tables and flows as checked, frozen values, and their wire form."""
