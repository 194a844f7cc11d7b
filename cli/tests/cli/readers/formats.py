"""Reads NAME.{parquet,arrow,arrows,jsonl} with every reader and compares each cell with NAME.csv."""
import csv, datetime, json, sys
import duckdb, pandas, polars, pyarrow, pyarrow.ipc, pyarrow.parquet

name = sys.argv[1]
PORTS = {"src_port", "dst_port", "dst_nat_port"}
file = pyarrow.parquet.ParquetFile(name + ".parquet")
types = {field["name"]: field["type"] for field in json.loads(file.metadata.metadata[b"netflow.columns"])}
TIMES = {column for column, type in types.items() if type == "time"}


def cell(column, text):
    """What the text of a CSV stands for."""
    if text == "" or column in PORTS and text == "*":
        return None
    if types[column] in ("u16", "u32", "u64"):
        return int(text)
    if types[column] == "time":
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
    return text


rows = list(csv.reader(open(name + ".csv", newline="")))
truth = {column: [cell(column, row[place]) for row in rows[1:]] for place, column in enumerate(rows[0])}


def compare(reader, columns):
    columns = dict(columns)
    assert list(columns) == list(truth), (reader, list(columns))
    for column, expected in truth.items():
        found = list(columns[column])
        assert len(found) == len(expected), (reader, column, len(found), len(expected))
        different = [pair for pair in zip(found, expected) if pair[0] != pair[1]]
        assert not different, (reader, column, different[0])
        # A float that equals a number may have been rounded.
        assert set(map(type, found)) == set(map(type, expected)), (reader, column, set(map(type, found)))
    print(reader)


def objects(frame):
    for column in frame:
        missing = frame[column].isna()
        values = frame[column].astype(object).tolist()
        yield column, [None if gone else value.to_pydatetime() if isinstance(value, pandas.Timestamp) else value for gone, value in zip(missing, values)]


def sql(query, **tables):
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for table in tables.items():
        con.register(*table)
    relation = con.sql(query)
    cells = relation.fetchall()
    return {column: [row[place] for row in cells] for place, column in enumerate(relation.columns)}


def arrow(table):
    return zip(table.column_names, (column.to_pylist() for column in table.columns))


compare("Parquet by pyarrow", arrow(file.read()))
compare("Parquet by pandas", objects(pandas.read_parquet(name + ".parquet")))
compare("Parquet by Polars", polars.read_parquet(name + ".parquet").to_dict(as_series=False).items())
compare("Parquet by DuckDB", sql(f"FROM '{name}.parquet'"))
with pyarrow.ipc.open_file(name + ".arrow") as reader:
    compare("Arrow by pyarrow", arrow(reader.read_all()))
with pyarrow.ipc.open_stream(name + ".arrows") as reader:
    compare("Arrow stream by pyarrow", arrow(reader.read_all()))
compare("Arrow by pandas", objects(pandas.read_feather(name + ".arrow")))
compare("Arrow by Polars", polars.read_ipc(name + ".arrow").to_dict(as_series=False).items())
compare("Arrow stream by Polars", polars.read_ipc_stream(name + ".arrows").to_dict(as_series=False).items())
compare("Arrow by DuckDB", sql("FROM arrow", arrow=pyarrow.ipc.open_file(name + ".arrow").read_all()))

# JSON has no types: times are compared as DuckDB sees them, and as text elsewhere. What pandas and pyarrow do with numbers
# above 2^53 in a column that lacks some is said in PARQUET.md.
if len(rows) > 1:
    compare("JSON by DuckDB", sql(f"FROM read_json_auto('{name}.jsonl', sample_size = -1)"))
    times = [polars.col(column).str.to_datetime(time_unit="us", time_zone="UTC") for column in sorted(TIMES)]
    compare("JSON by Polars", polars.read_ndjson(name + ".jsonl", infer_schema_length=None).select(*truth).with_columns(times).to_dict(as_series=False).items())
lines = [json.loads(line) for line in open(name + ".jsonl", encoding="utf-8")]
compare("JSON by Python", ((column, [cell(column, line[column] or "") if column in TIMES else line[column] for line in lines]) for column in truth))
