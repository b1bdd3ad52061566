"""RPCs of payments; each caller sees their own. Administrators give them back."""

from collections.abc import Sequence
from dataclasses import dataclass

from chatmesh.billing.v1 import billing_pb2 as pb
from chatmesh.billing.v1.billing_pb2_grpc import BillingServiceServicer
from sqlalchemy.ext.asyncio import AsyncSession

from billing_svc import payment_store
from billing_svc.driver.payments import Charge
from billing_svc.models import Payment
from billing_svc.money import Money
from billing_svc.paying import Paying
from billing_svc.refunding import Refunding, Wanted
from billing_svc.repeats import Asked, FirstAnswers
from billing_svc.servicer.bridge import payment_message, refund_message
from billing_svc.servicer.caching import NO_STORE
from billing_svc.servicer.texts import refuse_card_numbers, refuse_nul
from svckit import identity, paging
from svckit.errors import InvalidArgument, NotFound
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class PaymentRpcs(BillingServiceServicer):
    """Serves payments."""

    database: Database
    paying: Paying
    refunding: Refunding
    first_answers: FirstAnswers

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.CreatePaymentResponse:
        if not request.idempotency_key:
            message = "must be there, or an Idempotency-Key header: it keeps a repeat from charging twice"
            raise InvalidArgument.of("idempotency_key", message, reason="IDEMPOTENCY_KEY_REQUIRED")
        refuse_nul(request, "description", "idempotency_key")
        refuse_card_numbers(request, "description", "idempotency_key")
        asked = Asked.of(request, user_id=identity.user_id())
        answer = await self.first_answers.recall(asked, pb.CreatePaymentResponse)
        if answer is None:
            row = await self.paying.pay(_charge(request), asked)
            answer = await self.first_answers.keep(asked, pb.CreatePaymentResponse(payment=await self._payment(row)))
        location = ("location", f"/api/payments/{answer.payment.id}")
        await context.send_initial_metadata((("x-http-status", "201"), location, NO_STORE))
        return answer

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.GetPaymentResponse:
        async with self.database.transaction() as session:
            row = await payment_store.find_payment(session, request.payment_id, user_id=identity.user_id())
        if row is None:
            raise NotFound("no such payment")
        await context.send_initial_metadata((NO_STORE,))
        return pb.GetPaymentResponse(payment=await self._payment(row))

    async def ListPayments(self, request: pb.ListPaymentsRequest, context: Context) -> pb.ListPaymentsResponse:
        size, before = paging.size_of(request.page_size), paging.last_id(request.page_token)
        async with self.database.transaction() as session:
            rows = await payment_store.payments_page(session, identity.user_id(), before=before, limit=size + 1)
            payments = await _payments(session, rows[:size])
        await context.send_initial_metadata((NO_STORE,))
        return pb.ListPaymentsResponse(
            payments=payments,
            next_page_token=paging.token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def ConfirmPayment(self, request: pb.ConfirmPaymentRequest, context: Context) -> pb.ConfirmPaymentResponse:
        row = await self.paying.confirm(identity.user_id(), request.payment_id)
        await context.send_initial_metadata((NO_STORE,))
        return pb.ConfirmPaymentResponse(payment=await self._payment(row))

    async def RefundPayment(self, request: pb.RefundPaymentRequest, context: Context) -> pb.RefundPaymentResponse:
        refuse_nul(request, "reason", "idempotency_key")
        refuse_card_numbers(request, "reason", "idempotency_key")
        asked = Asked.of(request, user_id=identity.user_id())
        answer = await self.first_answers.recall(asked, pb.RefundPaymentResponse)
        if answer is None:
            wanted = Wanted(request.payment_id, request.amount_minor, request.reason)
            payment, refund = await self.refunding.refund(wanted, asked)
            made = pb.RefundPaymentResponse(payment=await self._payment(payment), refund=refund_message(refund))
            answer = await self.first_answers.keep(asked, made)
        return answer

    async def _payment(self, row: Payment) -> pb.Payment:
        async with self.database.transaction() as session:
            return (await _payments(session, [row]))[0]


async def _payments(session: AsyncSession, rows: Sequence[Payment]) -> list[pb.Payment]:
    on_their_way = await payment_store.refunds_on_their_way(session, [row.id for row in rows])
    return [payment_message(row, refunds_on_their_way=on_their_way.get(row.id, 0)) for row in rows]


def _charge(request: pb.CreatePaymentRequest) -> Charge:
    amount = Money(request.amount.amount_minor, request.amount.currency)
    return Charge(amount, request.payment_method, request.description)
