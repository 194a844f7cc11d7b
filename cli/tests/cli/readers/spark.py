"""Prints the types that Spark gives to a file and compares each cell with the CSV; then the same of a data set."""
import csv, decimal, sys
from pyspark.sql import SparkSession, functions

name, dataset = sys.argv[1:]
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").config("spark.sql.session.timeZone", "UTC").config("spark.sql.sources.partitionColumnTypeInference.enabled", "false").getOrCreate()
TIME = "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"


def texts(frame):
    """Rows as a CSV has them."""
    for column, ty in frame.dtypes:
        if ty == "timestamp":
            frame = frame.withColumn(column, functions.date_format(column, TIME))
    for row in frame.collect():
        yield ["" if value is None else str(value) for value in row]


def truth(path):
    rows = list(csv.reader(open(path, newline="")))
    ports = [place for place, column in enumerate(rows[0]) if column.endswith("_port")]
    for row in rows[1:]:
        for place in ports:
            row[place] = row[place].replace("*", "")
    return rows[0], rows[1:]


file = spark.read.parquet(name + ".parquet")
for column, ty in file.dtypes:
    print(column, ty, sep=" | ")
columns, rows = truth(name + ".csv")
assert file.columns == columns
found = list(texts(file))
assert found == rows, [(a, b) for a, b in zip(found, rows) if a != b][:2]
assert file.filter("bytes_read = 18446744073709551615").count() == sum(row[columns.index("bytes_read")] == "18446744073709551615" for row in rows)
columns, rows = truth(dataset + ".csv")
parted = spark.read.parquet(dataset)
found = sorted(texts(parted.select(columns)))
assert found == sorted(rows), [(a, b) for a, b in zip(found, sorted(rows)) if a != b][:2]
days = {row[0] for row in parted.select(functions.col("date").cast("string")).collect()}
assert days == {row[columns.index("window_start")][:10] for row in rows}
