from fastapi import FastAPI

from golive.asgi import CorrelationMiddleware
from golive.kpi import kpi_timed_step
from tests.contract.programs._service import serve

app = FastAPI()


@app.post("/price")
def price() -> float:
    with kpi_timed_step(None, "BACK", "priced"):
        return 100.0


if __name__ == "__main__":
    serve(CorrelationMiddleware(app))
