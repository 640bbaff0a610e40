from django.http import JsonResponse
from django.shortcuts import render
from django.urls import path

ITEMS = [("Tea", 4), ("Bread", 3), ("Honey", 7)]


def home(request):
    return render(request, "shop/home.html", {"items": ITEMS})


def items(request):
    return JsonResponse({"items": [{"name": name, "price": price} for name, price in ITEMS]})


urlpatterns = [path("", home), path("items", items)]
