"""Evidently as its guide has it: `Report([DataSummaryPreset()]).run(dataset)`, then the result as a dict."""
import json, sys
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataSummaryPreset

df = pd.read_parquet(sys.argv[1])
dataset = Dataset.from_pandas(df, data_definition=DataDefinition())
got = Report([DataSummaryPreset()]).run(dataset, None).dict()
def leaves(x): return sum(map(leaves, x.values() if isinstance(x, dict) else x)) if isinstance(x, (dict, list)) else 1
print(json.dumps(dict(rows=len(df), columns=df.shape[1], figures=sum(leaves(m["value"]) for m in got["metrics"]))))
