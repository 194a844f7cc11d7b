"""Looks at the row groups of a file: their sizes, and whether their statistics are the least and greatest of their values."""
import sys
import pyarrow.compute, pyarrow.parquet

file = pyarrow.parquet.ParquetFile(sys.argv[1])
without, wrong = [], []
for group in range(file.num_row_groups):
    table = file.read_row_group(group)
    for place, name in enumerate(table.column_names):
        said = file.metadata.row_group(group).column(place).statistics
        values = [value for value in table[name].to_pylist() if value is not None]
        if said is None or said.null_count is None or values and not said.has_min_max:
            without.append(name)
            continue
        # Texts are compared by their bytes.
        key = (lambda text: text.encode()) if table.schema.field(place).type == pyarrow.large_string() else None
        if said.null_count != table.num_rows - len(values) or values and (said.min, said.max) != (min(values, key=key), max(values, key=key)):
            wrong.append(name)
print("rows", file.metadata.num_rows)
sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
print("groups", *sizes)
print("without statistics:", without)
print("wrong:", wrong)
