import os

import httpx
from fastapi import FastAPI
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from golive.asgi import CorrelationMiddleware
from golive.kpi import kpi_success, kpi_timed_step
from tests.contract.programs._service import serve

app = FastAPI()


@app.post("/offer")
def offer() -> float:
    with kpi_timed_step(None, "FRONT", "offer"):
        answer = httpx.post(f"{os.environ['BACK_URL']}/price", timeout=30)
        kpi_success(None, "FRONT", "offer_sent")
        return float(answer.json())


if __name__ == "__main__":
    HTTPXClientInstrumentor().instrument()
    serve(CorrelationMiddleware(app))
