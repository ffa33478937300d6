"""whylogs as its getting-started guide has it: `why.log(pandas=df)`, then the profile view as a frame."""
import json, sys
import pandas as pd, whylogs as why

df = pd.read_parquet(sys.argv[1])
view = why.log(pandas=df).view().to_pandas()
print(json.dumps(dict(rows=int(view["counts/n"].max()), columns=len(view), figures=int(view.count().sum()))))
