"""Prints what pyarrow, pandas, DuckDB and Polars make of the columns of a file."""
import json, sys
import duckdb, pandas, polars, pyarrow.parquet

path = sys.argv[1]
file = pyarrow.parquet.ParquetFile(path)
physical = [file.schema.column(place) for place in range(len(file.schema))]


def logical(column):
    said = json.loads(column.logical_type.to_json())
    match said["Type"]:
        case "Int":
            return f"INTEGER({said['bitWidth']}, {str(said['isSigned']).lower()})"
        case "Timestamp":
            return f"TIMESTAMP({said['timeUnit']}, {str(said['isAdjustedToUTC']).lower()})"
        case other:
            return other.upper()


con = duckdb.connect()
described = {row[0]: row[1] for row in con.execute(f"DESCRIBE FROM '{path}'").fetchall()}
arrow = file.schema_arrow
numpy = pandas.read_parquet(path).dtypes
frame = polars.read_parquet_schema(path)
for column in physical:
    name = column.name
    print(name, column.physical_type, logical(column), arrow.field(name).type, numpy[name], described[name], frame[name], sep=" | ")
