"A full pull of 100,000 rows from a local portal against plain httpx reading the same bytes: CPU and wall in interleaved pairs, the server in its own process."
import os, resource, statistics, subprocess, sys, tempfile, time
from pathlib import Path

SERVER = """
import sys
from dsmon_research.standin import Portal
with Portal(rows=100_000, pack=sys.argv[1] == "gzip") as p:
    p._cache = {}
    print(p.place, flush=True)
    sys.stdin.read()
"""


def measured(do): # CPU and wall seconds of this process
    r, t = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    do()
    e, s = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    return s.ru_utime+s.ru_stime-r.ru_utime-r.ru_stime, e-t


def main(pairs=40):
    import httpx
    from dsmon_research.socrata import Portal, asset, pull
    for pack in ("plain", "gzip"):
        server = subprocess.Popen([sys.executable, "-c", SERVER, pack], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        place = server.stdout.readline().strip()
        os.environ["DSMON_PRIVATE_HOSTS"] = place
        urls = [f"http://{place}/resource/0000-data.csv?$select=:id,*&$order=:id&$limit=50000&$offset={o}" for o in (0, 50_000)]

        def plain(urls=urls):
            with httpx.Client(trust_env=False) as c: return sum(len(c.get(u).content) for u in urls)

        def ours(place=place): # to a new folder, which is removed after the clock has stopped
            with tempfile.TemporaryDirectory() as d:
                def one():
                    with Portal(asset(f"{place}/0000-data?rate=1000")) as p: return pull(p, "0000-data", Path(d))
                return measured(one)
        for _ in range(3): plain(); ours()
        both = [(measured(plain), ours()) if n % 2 else (ours(), measured(plain))[::-1] for n in range(pairs)]
        for n, what in enumerate(("CPU", "wall")):
            a, b = (statistics.median(x[i][n] for x in both) for i in (0, 1))
            ratios = [x[1][n]/x[0][n] for x in both]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"{pack}: {what} httpx {a*1000:.0f} ms, pull {b*1000:.0f} ms, median of {pairs} pairs' ratios {middle:.2f} (quartiles {low:.2f}, {high:.2f}; {plain():,} bytes)")
        server.stdin.close(); server.wait()


if __name__ == "__main__": main()
