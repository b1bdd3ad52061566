"""The RPCs of AnalyticsService, one method a report, a file for each kind of them."""

from dataclasses import dataclass

from analytics_svc.servicer.chat import ChatReports
from analytics_svc.servicer.overview import OverviewReport
from analytics_svc.servicer.providers import ProviderReports
from analytics_svc.servicer.revenue import RevenueReports
from analytics_svc.servicer.subscribers import SubscriberReports
from analytics_svc.servicer.users import UserReports


@dataclass(kw_only=True, eq=False)
class Analytics(UserReports, ChatReports, RevenueReports, SubscriberReports, ProviderReports, OverviewReport):
    """Serves all reports; a series has every bucket of its range, those with nothing in them as zeros."""
