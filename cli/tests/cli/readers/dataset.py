"""Reads a data set with DuckDB, pyarrow and Polars and compares its rows with those of the report in one piece."""
import csv, sys
import duckdb, polars, pyarrow, pyarrow.dataset

folder, keys = sys.argv[1], sys.argv[2].split(",")
rows = list(csv.reader(open(folder + ".csv", newline="")))
names = rows.pop(0)
ports = [place for place, name in enumerate(names) if name.endswith("_port")]
for row in rows:
    for place in ports:
        row[place] = row[place].replace("*", "")
    row.append(row[names.index("window_start")][:10])
names.append("date")
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def compare(reader, table):
    assert set(table.column_names) == set(names), set(table.column_names) ^ set(names)
    columns = (table[name].to_pylist() for name in names)
    found = [["" if value is None else value.strftime(TIME) if hasattr(value, "hour") else str(value) for value in row] for row in zip(*columns)]
    assert sorted(found) == sorted(rows), [pair for pair in zip(sorted(found), sorted(rows)) if pair[0] != pair[1]][0]
    print(reader, len(found), sum(table["bytes_read"].to_pylist()))


con = duckdb.connect()
con.execute("SET TimeZone = 'UTC'")
texts = ", ".join(f"'{key}': {'DATE' if key == 'date' else 'VARCHAR'}" for key in keys)
query = f"FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true, hive_types = {{{texts}}})"
compare("DuckDB", con.sql(query).to_arrow_table())
schema = pyarrow.schema([(key, pyarrow.date32() if key == "date" else pyarrow.string()) for key in keys])
compare("pyarrow", pyarrow.dataset.dataset(folder, partitioning=pyarrow.dataset.partitioning(schema, flavor="hive")).to_table())
schema = {key: polars.Date if key == "date" else polars.String for key in keys}
compare("Polars", polars.scan_parquet(folder, hive_partitioning=True, hive_schema=schema).collect().to_arrow())
# Left to itself, each gives the same sums.
print("DuckDB", *con.sql(f"SELECT count(*), sum(bytes_read)::BIGINT FROM '{folder}/**/*.parquet'").fetchall()[0])
print("pyarrow", *(lambda table: (table.num_rows, sum(table["bytes_read"].to_pylist())))(pyarrow.dataset.dataset(folder, partitioning="hive").to_table()))
print("Polars", *polars.scan_parquet(folder).select(polars.len(), polars.col("bytes_read").sum()).collect().row(0))
